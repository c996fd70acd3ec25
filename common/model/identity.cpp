#include "common/model/identity.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace quell {

std::string SignalKey(std::string_view alert, const Labels& labels) {
  return absl::StrCat(absl::string_view(alert.data(), alert.size()), "/",
                      absl::StrFormat("%016x", labels.Hash()));
}

}  // namespace quell
