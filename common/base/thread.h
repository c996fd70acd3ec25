// NamedThread: a std::thread with a name (15 bytes shown by the kernel) that joins when destroyed. Owned by
// one object.
#pragma once
#include <functional>
#include <string>
#include <thread>

namespace quell {

class NamedThread {
 public:
  NamedThread() = default;
  NamedThread(std::string name, std::function<void()> body);
  NamedThread(NamedThread&&) = default;
  NamedThread& operator=(NamedThread&& other);
  ~NamedThread();
  void Join();

 private:
  std::thread thread_;
};

}  // namespace quell
