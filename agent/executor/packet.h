// Packets between agent and executor over an AF_UNIX SOCK_SEQPACKET socket. A message of at most 1 MiB + 64
// KiB goes as packets of at most 64 KiB, since the kernel bounds a packet by the socket's buffer; the first
// byte of each says whether more of the message follows (1) or not (0). A descriptor comes with a message of
// one packet. Neither side blocks: what can't go out waits in a queue.
//
// Bounds: a message that would be longer ends the connection; the queue out holds 16 MiB, then the connection
// ends (the far end does not read). Owned by one thread.
#pragma once
#include <sys/types.h>

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/file.h"

namespace quell::agent {

inline constexpr size_t kLargestPacket = 64 << 10;
inline constexpr size_t kLargestMessage = (1 << 20) + (64 << 10);
inline constexpr size_t kLargestQueue = 16 << 20;

struct Message {
  std::string bytes;
  UniqueFd fd;  // that came with it
};

class PacketSocket {
 public:
  explicit PacketSocket(UniqueFd fd) : fd_(std::move(fd)) {}

  int fd() const { return fd_.get(); }
  bool wants_to_write() const { return !out_.empty(); }
  // Queues a message. ResourceExhausted: too long, or the queue is full.
  absl::Status Send(std::string_view bytes, UniqueFd fd = UniqueFd());
  // Writes what goes without waiting.
  absl::Status Flush();
  // Whole messages that have come, at most 64 packets at a time: a far end that never stops sending holds
  // nobody up, and poll() tells of the rest. An error means that the connection is over (Unavailable at its
  // end).
  absl::Status Receive(std::vector<Message>* messages);

 private:
  struct Packet {
    std::string bytes;
    UniqueFd fd;
  };
  absl::StatusOr<bool> ReceiveOne(std::vector<Message>* messages);

  UniqueFd fd_;
  std::deque<Packet> out_;
  size_t queued_ = 0;
  std::string partial_;
};

// Who is at the far end, as the kernel knows.
struct PeerUser {
  pid_t pid = 0;
  uid_t uid = 0;
};
absl::StatusOr<PeerUser> PeerOf(int fd);

// A listening socket at `path` (an old one is removed), mode 0660 and group `gid` where that is not -1, else
// 0600.
absl::StatusOr<UniqueFd> ListenPackets(const std::string& path, gid_t gid);
absl::StatusOr<UniqueFd> ConnectPackets(const std::string& path);

}  // namespace quell::agent
