// Secret: bytes that are never printed, compared in constant time and wiped when they go. It has no stream
// operator, no ToString and no implicit conversion. Owned by value; any thread may read.
#pragma once
#include <string>
#include <utility>

namespace quell {

class Secret {
 public:
  Secret() = default;
  explicit Secret(std::string value) : value_(std::move(value)) {}
  Secret(const Secret&) = default;
  Secret(Secret&& other) noexcept;
  Secret& operator=(const Secret& other);
  Secret& operator=(Secret&& other) noexcept;
  ~Secret();

  // For the one call that needs the bytes. Never for a message or a log line.
  const std::string& Reveal() const { return value_; }
  bool empty() const { return value_.empty(); }

  friend bool operator==(const Secret& a, const Secret& b);
  template <typename Stream>
  friend Stream& operator<<(Stream&, const Secret&) = delete;

 private:
  void Wipe();
  std::string value_;
};

}  // namespace quell
