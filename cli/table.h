// A table for the terminal: columns as wide as their widest cell, two spaces apart, no rule lines. Pure.
#pragma once
#include <string>
#include <vector>

namespace quell::cli {

class Table {
 public:
  explicit Table(std::vector<std::string> titles) : rows_{std::move(titles)} {}
  void Add(std::vector<std::string> cells) { rows_.push_back(std::move(cells)); }
  std::string Text() const;

 private:
  std::vector<std::vector<std::string>> rows_;  // the first holds the titles; cells are encoded when printed
};

// Segments that flow over lines of a terminal: joined by `separator`, a new line (with `indent` spaces before
// it) where one would pass `columns`. A segment that is longer than a line is cut.
std::string Flow(const std::vector<std::string>& segments, const std::string& separator, int columns,
                 int indent);

// `s` encoded for the terminal and cut to `columns`.
std::string Fit(const std::string& s, int columns);

}  // namespace quell::cli
