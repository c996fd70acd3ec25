// Console: what a person at the controller's machine sees and does: the command line over the local socket,
// and its metrics. One thread.
#pragma once
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "common/base/time.h"

namespace quell::test {

using Json = nlohmann::json;

class Console {
 public:
  Console(std::string socket, uint16_t web_port) : socket_(std::move(socket)), web_port_(web_port) {}

  // The command line, by the controller's own socket: its output as JSON; null when it failed.
  Json Quell(std::vector<std::string> words);
  int QuellExit(std::vector<std::string> words, std::string* output = nullptr, std::string* error = nullptr);
  // Any words, with this environment and no socket.
  static int RunQuell(const std::vector<std::string>& words, const std::vector<std::string>& environment,
                      std::string* output, std::string* error);
  std::vector<Json> Items(const std::string& kind);  // `quell get KIND --all`
  Json Incident();                                   // the only one, described; null when there is none
  bool WaitForStatus(const std::string& status, Micros deadline = 60 * kSecond);
  bool WaitForEvent(const std::string& kind, Micros deadline = 30 * kSecond);
  uint16_t web_port() const { return web_port_; }
  std::string Metric(const std::string& name);  // from /metrics; "" when absent

 private:
  const std::string socket_;
  const uint16_t web_port_;
};

}  // namespace quell::test
