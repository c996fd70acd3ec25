#include "cli/table.h"

#include <algorithm>

#include "common/text/encode.h"

namespace quell::cli {
namespace {

std::string Padded(const std::string& text, int width) {
  const int missing = width - text::DisplayWidth(text);
  return missing > 0 ? text + std::string(static_cast<size_t>(missing), ' ') : text;
}

void TrimRight(std::string& line) {
  while (!line.empty() && line.back() == ' ') line.pop_back();
}

}  // namespace

std::string Table::Text() const {
  std::vector<std::vector<std::string>> rows = rows_;
  std::vector<int> widths;
  for (auto& row : rows) {
    widths.resize(std::max(widths.size(), row.size()), 0);
    for (size_t i = 0; i < row.size(); ++i) {
      row[i] = text::Terminal(row[i]);
      widths[i] = std::max(widths[i], text::DisplayWidth(row[i]));
    }
  }
  std::string out;
  for (const auto& row : rows) {
    std::string line;
    for (size_t i = 0; i < row.size(); ++i)
      line += Padded(row[i], widths[i]) + (i + 1 < row.size() ? "  " : "");
    TrimRight(line);
    out += line + "\n";
  }
  return out;
}

std::string Fit(const std::string& s, int columns) {
  std::string text = text::Terminal(s);
  if (text::DisplayWidth(text) <= columns) return text;
  size_t bytes = text.size();
  while (bytes > 0 && text::DisplayWidth(text::Cut(text, bytes)) > columns) --bytes;
  return text::Cut(text, bytes);
}

std::string Flow(const std::vector<std::string>& segments, const std::string& separator, int columns,
                 int indent) {
  std::string out;
  std::string line;
  for (const auto& segment : segments) {
    if (segment.empty()) continue;
    const bool first = line.empty();
    const std::string more = (first ? "" : separator) + text::Terminal(segment);
    if (!first && text::DisplayWidth(line) + text::DisplayWidth(more) > columns) {
      TrimRight(line);
      out += line + "\n";
      line = std::string(static_cast<size_t>(indent), ' ') + Fit(segment, columns - indent);
    } else {
      line = Fit(line + more, columns);
    }
  }
  TrimRight(line);
  return line.empty() ? out : out + line + "\n";
}

}  // namespace quell::cli
