// LayoutBook: the layouts of one stream: which ids its series lists have, and their encoders. Owned by one
// session; one thread. Holds at most wire::kEncoderLayouts layouts; the list used longest ago goes, and is
// defined anew when it comes back.
#pragma once
#include <cstdint>
#include <list>
#include <string>
#include <vector>

#include "agent/collectors/collector.h"
#include "common/wire/encoder.h"
#include "quell/v1/link.pb.h"

namespace quell::agent {

// A part of a series list that is one layout: small enough to be defined within one frame, and of series
// whose first values have one form (whole numbers, thousandths, others), because the encoding is chosen for a
// whole batch.
struct LayoutPart {
  std::vector<uint32_t> picks;  // indices into the list; series that no controller takes are left out
  wire::BatchEncoder encoder;
  v1::Layout definition;  // emptied once it was sent
  bool defined = false;
};

class LayoutBook {
 public:
  // The parts of this collection's list, made when it is new. Valid until the next call.
  std::vector<LayoutPart>& PartsOf(const Collection& collection);
  uint64_t series_left_out() const { return left_out_; }

 private:
  struct Book {
    std::string collector;
    SeriesList list;
    std::vector<LayoutPart> parts;
  };
  Book MakeBook(const Collection& collection);
  void AddPart(Book& book, std::vector<uint32_t> picks, v1::Layout definition);

  std::list<Book> books_;  // most recently used first
  size_t parts_ = 0;
  uint32_t next_id_ = 1;
  uint64_t left_out_ = 0;
};

}  // namespace quell::agent
