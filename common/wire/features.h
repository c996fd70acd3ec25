// Names of what an end of the link can do. Behaviour hangs on these names, never on version numbers; a name
// the other end does not know is ignored. Constants.
#pragma once
#include <array>
#include <string_view>

namespace quell::wire {

inline constexpr std::string_view kFeatureIntDeltas = "batch.int_deltas";      // ENCODING_INT_DELTAS
inline constexpr std::string_view kFeatureMilliDeltas = "batch.milli_deltas";  // ENCODING_MILLI_DELTAS
inline constexpr std::string_view kFeatureResend = "samples.resend";  // sends samples again from a time
inline constexpr std::string_view kFeatureEventSamples =
    "event.samples";                                             // events carry the series they changed
inline constexpr std::string_view kFeatureLogHead = "log.head";  // the agent remembers the log's head
inline constexpr std::string_view kFeatureCancel = "command.cancel";

inline constexpr std::array kFeatures = {kFeatureIntDeltas,    kFeatureMilliDeltas, kFeatureResend,
                                         kFeatureEventSamples, kFeatureLogHead,     kFeatureCancel};

}  // namespace quell::wire
