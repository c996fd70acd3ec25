// What all verbs share: where to print, how, and the controller. One thread.
#pragma once
#include <memory>
#include <ostream>
#include <string>

#include "cli/client.h"
#include "cli/exit_codes.h"
#include "cli/program.h"
#include "cli/view.h"

namespace quell::cli {

struct Common {
  std::string output = "table";  // table, wide, json, yaml
  std::string socket;
};

class Session {
 public:
  Session(const Common& common, const Surroundings& around, std::ostream& out, std::ostream& err)
      : common_(common), around_(around), out_(out), err_(err) {}

  using View = std::function<std::string(const Json&, const ViewOptions&)>;

  // Reads a document and prints it; `view` makes the table.
  int Show(const std::string& method, const google::protobuf::Message& request, const View& view);
  // Acts and tells what came of it.
  int Do(const std::string& method, const google::protobuf::Message& request);

  void Print(const Json& document, const View& view);
  // One line on the error stream, through the terminal's encoder.
  void Say(const std::string& line);
  int Fail(const absl::Status& status);
  absl::StatusOr<Client*> controller();
  ViewOptions view_options() const;
  bool table() const { return common_.output == "table" || common_.output == "wide"; }
  const Surroundings& around() const { return around_; }

 private:
  const Common& common_;
  const Surroundings& around_;
  std::ostream& out_;
  std::ostream& err_;
  std::unique_ptr<Client> client_;
};

}  // namespace quell::cli
