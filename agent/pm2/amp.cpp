#include "agent/pm2/amp.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace quell::pm2 {
namespace {

constexpr unsigned kVersion = 1;

void AppendArgument(std::string& out, std::string_view prefix, std::string_view body) {
  const auto length = static_cast<uint32_t>(prefix.size() + body.size());
  for (int shift = 24; shift >= 0; shift -= 8) out.push_back(static_cast<char>(length >> shift));
  out.append(prefix).append(body);
}

AmpArgument Classify(std::string&& body) {
  AmpArgument argument;
  if (body.starts_with("s:")) argument.kind = AmpArgument::Kind::kText;
  if (body.starts_with("j:")) argument.kind = AmpArgument::Kind::kJson;
  argument.data = std::move(body);
  if (argument.kind != AmpArgument::Kind::kBlob) argument.data.erase(0, 2);
  return argument;
}

}  // namespace

std::string EncodeRequest(std::string_view json, int64_t id) {
  std::string out(1, static_cast<char>(kVersion << 4 | 2));
  AppendArgument(out, "j:", json);
  AppendArgument(out, "j:", std::to_string(id));
  return out;
}

AmpParser::AmpParser(uint64_t max_frame_bytes, Keep keep) : limit_(max_frame_bytes), keep_(std::move(keep)) {}

absl::Status AmpParser::Header(unsigned char byte) {
  if (byte >> 4 != kVersion || (byte & 15) == 0)
    return absl::InvalidArgumentError(absl::StrCat("reading a PM2 frame: header byte 0x",
                                                   absl::Hex(byte, absl::kZeroPad2),
                                                   " is not version 1 with at least one argument"));
  arguments_ = byte & 15;
  frame_.clear();
  kept_ = 0;
  length_ = 0;
  length_bytes_ = 0;
  state_ = State::kLength;
  return absl::OkStatus();
}

absl::Status AmpParser::BeginArgument() {
  left_ = length_;
  body_.clear();
  if (keep_ && !keep_(frame_, length_)) {
    state_ = State::kSkip;
    return absl::OkStatus();
  }
  kept_ += length_;
  if (kept_ > limit_)
    return absl::ResourceExhaustedError(
        absl::StrCat("reading a PM2 frame: ", kept_, " bytes are more than the ", limit_, " allowed"));
  state_ = State::kBody;
  return absl::OkStatus();
}

void AmpParser::EndArgument(const OnFrame& on_frame) {
  if (state_ == State::kSkip)
    frame_.push_back({AmpArgument::Kind::kSkipped, ""});
  else
    frame_.push_back(Classify(std::exchange(body_, {})));
  length_ = 0;
  length_bytes_ = 0;
  state_ = State::kLength;
  if (frame_.size() < arguments_) return;
  state_ = State::kStart;
  on_frame(std::exchange(frame_, {}));
}

absl::Status AmpParser::Feed(std::string_view bytes, const OnFrame& on_frame) {
  while (failed_.ok() && !bytes.empty()) {
    if (state_ == State::kStart) {
      failed_ = Header(static_cast<unsigned char>(bytes[0]));
      bytes.remove_prefix(1);
    } else if (state_ == State::kLength) {
      length_ = length_ << 8 | static_cast<unsigned char>(bytes[0]);
      bytes.remove_prefix(1);
      if (++length_bytes_ < 4) continue;
      failed_ = BeginArgument();
      if (failed_.ok() && left_ == 0) EndArgument(on_frame);
    } else {
      const size_t n = std::min<size_t>(left_, bytes.size());
      if (state_ == State::kBody) body_.append(bytes.substr(0, n));
      bytes.remove_prefix(n);
      left_ -= static_cast<uint32_t>(n);
      if (left_ == 0) EndArgument(on_frame);
    }
  }
  return failed_;
}

}  // namespace quell::pm2
