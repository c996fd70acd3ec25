#include "agent/link/layouts.h"

#include <algorithm>
#include <array>

#include "common/base/log.h"
#include "common/base/utf8.h"
#include "common/wire/limits.h"
#include "common/wire/validate.h"

namespace quell::agent {
namespace {

constexpr size_t kPartSeries = 5'000;
constexpr size_t kPartBytes = 256 << 10;

v1::SeriesDefinition Define(const Series& series) {
  v1::SeriesDefinition out;
  out.set_name(series.name);
  for (const auto& [name, value] : series.labels) {
    v1::Label* label = out.add_labels();
    label->set_name(name);
    // A mount point or an interface may be named in any bytes; a text field that is not UTF-8 would end the
    // stream.
    label->set_value(IsUtf8(value) ? value : MakeUtf8(value));
  }
  return out;
}

constexpr size_t kForms = 3;
size_t FormOf(double value) {
  int64_t n = 0;
  if (wire::IsScaled(value, 1, &n)) return 0;
  return wire::IsScaled(value, wire::kMilli, &n) ? 1 : 2;
}

struct Draft {
  std::vector<uint32_t> picks;
  v1::Layout definition;
  size_t bytes = 0;
};

}  // namespace

void LayoutBook::AddPart(Book& book, std::vector<uint32_t> picks, v1::Layout definition) {
  if (picks.empty()) return;
  definition.set_id(next_id_++);
  definition.set_collector(book.collector);
  wire::BatchEncoder encoder(definition.id(), picks.size());
  book.parts.push_back({std::move(picks), std::move(encoder), std::move(definition), false});
}

LayoutBook::Book LayoutBook::MakeBook(const Collection& collection) {
  Book book{collection.collector, collection.series, {}};
  std::array<Draft, kForms> drafts;
  for (uint32_t i = 0; i < collection.series->size(); ++i) {
    v1::SeriesDefinition series = Define((*collection.series)[i]);
    absl::Status status = wire::Validate(series);
    if (!status.ok()) {
      if (left_out_++ == 0)
        LogWarning("a series of collector %s is left out: %s", collection.collector,
                   std::string(status.message()));
      continue;
    }
    Draft& draft = drafts[FormOf(collection.values[i])];
    const size_t size = series.ByteSizeLong() + 4;
    if (draft.picks.size() >= kPartSeries || (draft.bytes + size > kPartBytes && !draft.picks.empty())) {
      AddPart(book, std::move(draft.picks), std::move(draft.definition));
      draft = Draft();
    }
    draft.bytes += size;
    draft.picks.push_back(i);
    *draft.definition.add_series() = std::move(series);
  }
  for (Draft& draft : drafts) AddPart(book, std::move(draft.picks), std::move(draft.definition));
  return book;
}

std::vector<LayoutPart>& LayoutBook::PartsOf(const Collection& collection) {
  auto found = std::find_if(books_.begin(), books_.end(), [&](const Book& book) {
    return book.collector == collection.collector &&
           (book.list == collection.series || *book.list == *collection.series);
  });
  if (found != books_.end()) {
    found->list = collection.series;
    books_.splice(books_.begin(), books_, found);
    return books_.front().parts;
  }
  books_.push_front(MakeBook(collection));
  parts_ += books_.front().parts.size();
  while (parts_ > wire::kEncoderLayouts && books_.size() > 1) {
    parts_ -= books_.back().parts.size();
    books_.pop_back();
  }
  return books_.front().parts;
}

}  // namespace quell::agent
