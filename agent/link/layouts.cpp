#include "agent/link/layouts.h"

#include <algorithm>

#include "common/base/log.h"
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
    label->set_value(value);
  }
  return out;
}

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
  std::vector<uint32_t> picks;
  v1::Layout definition;
  size_t bytes = 0;
  for (uint32_t i = 0; i < collection.series->size(); ++i) {
    v1::SeriesDefinition series = Define((*collection.series)[i]);
    absl::Status status = wire::Validate(series);
    if (!status.ok()) {
      if (left_out_++ == 0)
        LogWarning("a series of collector %s is left out: %s", collection.collector,
                   std::string(status.message()));
      continue;
    }
    const size_t size = series.ByteSizeLong() + 4;
    if (picks.size() >= kPartSeries || (bytes + size > kPartBytes && !picks.empty())) {
      AddPart(book, std::move(picks), std::move(definition));
      picks.clear();
      definition.Clear();
      bytes = 0;
    }
    bytes += size;
    picks.push_back(i);
    *definition.add_series() = std::move(series);
  }
  AddPart(book, std::move(picks), std::move(definition));
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
