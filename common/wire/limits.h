// Bounds of what agents and controllers say to each other. Constants; both ends keep them, the receiving end
// checks them (validate.h).
#pragma once
#include <cstddef>
#include <cstdint>

#include "common/base/time.h"

namespace quell::wire {

inline constexpr size_t kMaxMessageBytes = 1 << 20;  // one frame, either way
inline constexpr size_t kMaxSeriesPerLayout = 20'000;
inline constexpr size_t kMaxLayouts = 256;     // that a decoder remembers; the least recently used goes
inline constexpr size_t kEncoderLayouts = 64;  // that an encoder uses, so that none is forgotten under it
inline constexpr size_t kMaxLabelsPerSeries = 32;
inline constexpr size_t kMaxLabelBytes = 1024;  // a label's value
inline constexpr size_t kMaxNameBytes = 256;    // a metric's, a label's, a collector's name
inline constexpr size_t kMaxLayoutsPerFrame = 64;
inline constexpr size_t kMaxBatchesPerFrame = 2'000;
inline constexpr size_t kMaxEventsPerFrame = 500;
inline constexpr size_t kMaxReportsPerFrame = 100;
inline constexpr size_t kMaxCommandsPerFrame = 100;
inline constexpr size_t kMaxEventText = 4096;
inline constexpr size_t kMaxEventSamples = 64;
inline constexpr size_t kMaxReason = 4096;        // a report's or an error's sentence
inline constexpr size_t kMaxEvidenceItems = 256;  // eight of each of a target's processes, and some
inline constexpr size_t kMaxEvidenceBytes =
    kMaxMessageBytes - (64 << 10);                    // of one report, so that it fits a frame
inline constexpr size_t kMaxProcesses = 1'000;        // named by one report
inline constexpr size_t kMaxSessions = 64;            // of a database server, likewise
inline constexpr size_t kMaxListItems = 256;          // features, actions
inline constexpr size_t kMaxCommandBytes = 64 << 10;  // a signed command's body
inline constexpr size_t kMaxTrustBundleBytes = 256 << 10;
inline constexpr size_t kMaxKeyBytes = 512;  // a public key
inline constexpr size_t kMaxCertificateBytes = 8 << 10;
inline constexpr size_t kNonceBytes = 64;                     // at most
inline constexpr int64_t kMaxBackwards = 3600 * 1'000'000ll;  // a batch's offset before its stream
inline constexpr int64_t kMaxForwards = 20ll * 366 * 86'400 * 1'000'000;  // and after its begin
inline constexpr int64_t kMaxWall = 253'402'300'799ll * 1'000'000;        // the end of the year 9999
inline constexpr int kFullEvery = 20;  // each nth batch of a layout carries every value

// The link's clockwork, the same on both ends.
inline constexpr int64_t kHeartbeatMillis = 5'000;
inline constexpr int kKeepaliveTimeMillis = 5'000;
inline constexpr int kKeepaliveTimeoutMillis = 3'000;

}  // namespace quell::wire
