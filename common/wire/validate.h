// The one place that checks what comes from the wire: sizes, counts, forms. What passes here is well-formed,
// not true: who may say what is the session's question. Pure; any thread.
#pragma once
#include <string_view>

#include "absl/status/status.h"
#include "quell/v1/link.pb.h"

namespace quell::wire {

// InvalidArgument with one sentence that names the field, or OK.
absl::Status Validate(const v1::AgentFrame& frame);
absl::Status Validate(const v1::ControllerFrame& frame);
absl::Status Validate(const v1::Layout& layout);
absl::Status Validate(const v1::SeriesDefinition& series);
absl::Status Validate(const v1::Event& event);
absl::Status Validate(const v1::CommandReport& report);

bool IsMetricName(std::string_view name);  // [a-zA-Z_:][a-zA-Z0-9_:]*, at most kMaxNameBytes
bool IsLabelName(std::string_view name);   // [a-zA-Z_][a-zA-Z0-9_]*, not __*, at most kMaxNameBytes
// Of an item of evidence: a dotted name, and behind a slash the number of the process that it is about, if
// the target has several: "proc.status", "proc.status/3".
bool IsEvidenceName(std::string_view name);
// Labels that only a controller sets: instance and job.
bool IsReservedLabel(std::string_view name);

}  // namespace quell::wire
