#include "common/model/metric.h"

namespace quell {

std::string_view ProvenanceName(Provenance p) {
  switch (p) {
    case Provenance::kKernel:
      return "kernel";
    case Provenance::kDaemon:
      return "daemon";
    case Provenance::kRemote:
      return "remote";
    case Provenance::kProbe:
      return "probe";
    case Provenance::kApp:
      return "app";
    case Provenance::kText:
      return "text";
  }
  return "unknown";
}

}  // namespace quell
