#include "agent/executor/packet.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"

namespace quell::agent {
namespace {

constexpr char kLast = 0;
constexpr char kMore = 1;

absl::StatusOr<sockaddr_un> Address(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof(address.sun_path)) {
    return absl::InvalidArgumentError(
        absl::StrCat("the socket's path ", path, " is empty or longer than 107 bytes"));
  }
  memcpy(address.sun_path, path.c_str(), path.size() + 1);
  return address;
}

absl::StatusOr<UniqueFd> MakeSocket() {
  UniqueFd fd(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.valid()) return ErrnoStatus(errno, "making a Unix socket");
  return fd;
}

// Descriptors that came with a packet; all but the first are closed at once.
UniqueFd TakeDescriptor(msghdr& header) {
  UniqueFd first;
  for (cmsghdr* c = CMSG_FIRSTHDR(&header); c != nullptr; c = CMSG_NXTHDR(&header, c)) {
    if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
    const size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; ++i) {
      int fd = -1;
      memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof fd);
      UniqueFd taken(fd);
      if (!first.valid()) first = std::move(taken);
    }
  }
  return first;
}

}  // namespace

absl::Status PacketSocket::Send(std::string_view bytes, UniqueFd fd) {
  if (bytes.size() > kLargestMessage)
    return absl::ResourceExhaustedError("the message is longer than the socket takes");
  if (queued_ + bytes.size() > kLargestQueue)
    return absl::ResourceExhaustedError("the far end does not read");
  constexpr size_t kChunk = kLargestPacket - 1;
  if (fd.valid() && bytes.size() > kChunk)
    return absl::InvalidArgumentError("a descriptor comes with one packet");
  size_t at = 0;
  do {
    const std::string_view chunk = bytes.substr(at, kChunk);
    at += chunk.size();
    std::string packet(1, at < bytes.size() ? kMore : kLast);
    packet.append(chunk);
    queued_ += packet.size();
    out_.push_back({std::move(packet), std::move(fd)});
  } while (at < bytes.size());
  return Flush();
}

absl::Status PacketSocket::Flush() {
  while (!out_.empty()) {
    Packet& packet = out_.front();
    iovec part{packet.bytes.data(), packet.bytes.size()};
    msghdr header{};
    header.msg_iov = &part;
    header.msg_iovlen = 1;
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
    if (packet.fd.valid()) {
      header.msg_control = control;
      header.msg_controllen = sizeof control;
      cmsghdr* c = CMSG_FIRSTHDR(&header);
      c->cmsg_level = SOL_SOCKET;
      c->cmsg_type = SCM_RIGHTS;
      c->cmsg_len = CMSG_LEN(sizeof(int));
      const int fd = packet.fd.get();
      memcpy(CMSG_DATA(c), &fd, sizeof fd);
    }
    const ssize_t n = sendmsg(fd_.get(), &header, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOBUFS)) return absl::OkStatus();
    if (n < 0) return ErrnoStatus(errno, "sending to the far end of the local socket");
    queued_ -= packet.bytes.size();
    out_.pop_front();
  }
  return absl::OkStatus();
}

absl::Status PacketSocket::Receive(std::vector<Message>* messages) {
  constexpr int kPacketsAtOnce = 64;  // 4 MiB
  for (int i = 0; i < kPacketsAtOnce; ++i) {
    auto more = ReceiveOne(messages);
    if (!more.ok()) return more.status();
    if (!*more) break;
  }
  return absl::OkStatus();
}

absl::StatusOr<bool> PacketSocket::ReceiveOne(std::vector<Message>* messages) {
  std::string buffer(kLargestPacket, '\0');
  iovec part{buffer.data(), buffer.size()};
  alignas(cmsghdr) char control[CMSG_SPACE(4 * sizeof(int))] = {};
  msghdr header{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  header.msg_control = control;
  header.msg_controllen = sizeof control;
  const ssize_t n = recvmsg(fd_.get(), &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  if (n < 0 && errno == EINTR) return true;
  if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return false;
  if (n < 0) return ErrnoStatus(errno, "reading from the local socket");
  UniqueFd fd = TakeDescriptor(header);
  if (n == 0) return absl::UnavailableError("the far end of the local socket has closed it");
  if ((header.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0) {
    return absl::ResourceExhaustedError("a packet is longer than 64 KiB, or brings too many descriptors");
  }
  if (buffer[0] != kLast && buffer[0] != kMore)
    return absl::InvalidArgumentError("a packet begins with neither 0 nor 1");
  partial_.append(buffer, 1, static_cast<size_t>(n) - 1);
  if (partial_.size() > kLargestMessage)
    return absl::ResourceExhaustedError("a message is longer than the socket takes");
  if (buffer[0] == kLast) messages->push_back({std::exchange(partial_, std::string()), std::move(fd)});
  return true;
}

absl::StatusOr<PeerUser> PeerOf(int fd) {
  ucred credentials{};
  socklen_t length = sizeof credentials;
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &length) != 0) {
    return ErrnoStatus(errno, "asking who is at the far end of the local socket");
  }
  return PeerUser{credentials.pid, credentials.uid};
}

absl::StatusOr<UniqueFd> ListenPackets(const std::string& path, uid_t owner) {
  QUELL_ASSIGN_OR_RETURN(const sockaddr_un address, Address(path));
  QUELL_ASSIGN_OR_RETURN(UniqueFd fd, MakeSocket());
  struct stat st {};
  if (lstat(path.c_str(), &st) == 0 && S_ISSOCK(st.st_mode)) unlink(path.c_str());
  const mode_t before = umask(0177);
  const int bound = bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address);
  const int error = errno;
  umask(before);
  if (bound != 0) return ErrnoStatus(error, absl::StrCat("listening at ", path));
  if (owner != geteuid() && lchown(path.c_str(), owner, static_cast<gid_t>(-1)) != 0) {
    return ErrnoStatus(errno, absl::StrCat("giving ", path, " to the agent's user"));
  }
  if (listen(fd.get(), 8) != 0) return ErrnoStatus(errno, absl::StrCat("listening at ", path));
  return fd;
}

absl::StatusOr<UniqueFd> ConnectPackets(const std::string& path) {
  QUELL_ASSIGN_OR_RETURN(const sockaddr_un address, Address(path));
  QUELL_ASSIGN_OR_RETURN(UniqueFd fd, MakeSocket());
  if (connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return ErrnoStatus(errno, absl::StrCat("connecting to the executor at ", path));
  }
  return fd;
}

}  // namespace quell::agent
