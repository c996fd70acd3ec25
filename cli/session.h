// What all verbs share: where to print, how, and the controller. One thread.
#pragma once
#include <memory>
#include <optional>
#include <ostream>
#include <string>

#include "cli/client.h"
#include "cli/context.h"
#include "cli/exit_codes.h"
#include "cli/program.h"
#include "cli/view.h"

namespace quell::cli {

struct Common {
  std::string output = "table";  // table, wide, json, yaml
  std::string socket;            // "": QUELL_SOCKET, else a context, else the default one
  std::string context;           // "": the current one
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
  // As whom it speaks to the controller: null by the Unix socket, where nobody shows a certificate.
  absl::StatusOr<const Identity*> identity();
  ViewOptions view_options() const;
  bool table() const { return common_.output == "table" || common_.output == "wide"; }
  const Surroundings& around() const { return around_; }
  const Common& common() const { return common_; }

 private:
  const Common& common_;
  const Surroundings& around_;
  std::ostream& out_;
  std::ostream& err_;
  absl::Status Choose();
  std::unique_ptr<Client> client_;
  bool chosen_ = false;
  std::string socket_;  // where to connect: this,
  Context context_;     // or this with the identity
  std::optional<Identity> identity_;
};

}  // namespace quell::cli
