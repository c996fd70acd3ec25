#include "agent/pm2/json_walk.h"

#include <nlohmann/json.hpp>
#include <vector>

namespace quell::pm2 {
namespace {

using nlohmann::json;

// nlohmann's parser keeps its own stack on the heap, so depth costs no C++ stack.
class Handler final : public json::json_sax_t {
 public:
  Handler(const JsonWalk& walk, int depth) : walk_(walk), most_(static_cast<size_t>(depth)) {}

  bool null() override { return Give(Scalar()); }
  bool boolean(bool value) override { return Give(Scalar(value)); }
  bool number_integer(number_integer_t value) override { return Give(Scalar(static_cast<double>(value))); }
  bool number_unsigned(number_unsigned_t value) override { return Give(Scalar(static_cast<double>(value))); }
  bool number_float(number_float_t value, const string_t&) override { return Give(Scalar(value)); }
  bool string(string_t& value) override { return Give(Scalar(std::string_view(value))); }
  bool binary(binary_t&) override { return false; }
  bool start_object(std::size_t) override { return Open(true); }
  bool start_array(std::size_t) override { return Open(false); }
  bool end_object() override { return Close(); }
  bool end_array() override { return Close(); }
  bool key(string_t& value) override {
    key_.swap(value);
    return true;
  }
  bool parse_error(std::size_t, const std::string&, const nlohmann::detail::exception&) override {
    return false;
  }
  bool too_deep() const { return too_deep_; }

 private:
  void Enter() {
    if (objects_.empty()) return;
    path_.push_back(objects_.back() ? std::move(key_) : std::string("#"));
    key_.clear();
  }
  void Leave() {
    if (!objects_.empty()) path_.pop_back();
  }
  bool Give(const Scalar& value) {
    Enter();
    if (walk_.on_scalar) walk_.on_scalar(path_, value);
    Leave();
    return true;
  }
  bool Open(bool object) {
    if (objects_.size() >= most_) {
      too_deep_ = true;
      return false;
    }
    Enter();
    if (walk_.on_open) walk_.on_open(path_);
    objects_.push_back(object);
    return true;
  }
  bool Close() {
    objects_.pop_back();
    if (walk_.on_close) walk_.on_close(path_);
    Leave();
    return true;
  }

  const JsonWalk& walk_;
  const size_t most_;
  std::vector<bool> objects_;  // of what is open: object, or array
  std::vector<std::string> path_;
  std::string key_;
  bool too_deep_ = false;
};

}  // namespace

absl::Status JsonWalk::Run(std::string_view text, int depth) const {
  Handler handler(*this, depth);
  if (json::sax_parse(text.begin(), text.end(), &handler)) return absl::OkStatus();
  return absl::InvalidArgumentError(handler.too_deep() ? "reading PM2's JSON: it is nested too deeply"
                                                       : "reading PM2's JSON: it is malformed");
}

}  // namespace quell::pm2
