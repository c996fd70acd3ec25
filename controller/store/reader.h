// StoreReader: what lists, descriptions and audits read. Read-only connections (two) of its own, so that a
// long list never stalls a commit. Owned by main; any thread may call.
//
// Bounds: 1,000 rows and 4 MiB an answer, 2 s a query (DeadlineExceeded), two queries at a time (others wait
// within their 2 s).
#pragma once
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "common/base/clock.h"
#include "controller/engine/log_store.h"
#include "controller/store/sqlite.h"

namespace quell::store {

struct ListFilter {
  bool all = false;    // ended ones too
  Micros since = 0;    // rows of this time and later
  std::string name;    // prefix of the id; "": any
  std::string parent;  // "": any
};
struct ListPage {
  std::vector<engine::ProjectionRow> rows;
  std::string next_cursor;  // "": that was all
};
struct BlobInfo {
  std::string sha256;  // raw
  std::string name;
  std::string owner;
  Micros expires = 0;
  uint64_t size = 0;
};
struct StoredRecord {
  v1::RecordHeader header;
  v1::Payload payload;
};

struct ReaderOptions {
  std::string path;
  Clock* clock = nullptr;  // null: the machine's
  Micros time_limit = 2 * kSecond;
  size_t row_limit = 1000;
  size_t byte_limit = 4 << 20;
};

class StoreReader {
 public:
  // FailedPrecondition when the file is no log of ours or needs a newer program.
  static absl::StatusOr<std::unique_ptr<StoreReader>> Open(const ReaderOptions& options);

  // Newest first. `limit` 0 means the most there may be. `cursor` is a page's next_cursor, or ""; anything
  // else is InvalidArgument.
  absl::StatusOr<ListPage> List(std::string_view kind, const ListFilter& filter, size_t limit,
                                std::string_view cursor);
  absl::StatusOr<engine::ProjectionRow> Find(std::string_view kind, std::string_view id);  // NotFound
  // An incident (parent ""), a command or a plan (parent: its incident's id) by its number.
  absl::StatusOr<engine::ProjectionRow> FindNumber(std::string_view kind, std::string_view parent,
                                                   uint64_t number);
  // Ids that begin so, in order; two are enough to see that a prefix is not unique.
  absl::StatusOr<std::vector<std::string>> IdsWithPrefix(std::string_view kind, std::string_view prefix,
                                                         size_t most);

  // Evidence of an incident or a command.
  absl::StatusOr<std::vector<BlobInfo>> Blobs(std::string_view owner);
  // NotFound when it never was or has expired; DataLoss when its content is not what its hash says.
  absl::StatusOr<std::string> BlobContent(std::string_view sha256);

  // Log records from `first` on, unverified (VerifyAll verifies).
  absl::StatusOr<std::vector<StoredRecord>> Records(uint64_t first, size_t most);
  // The chain after record `seq`, which must be the last of its commit group: what agents are told. NotFound
  // when the log has no group that ends there.
  absl::StatusOr<std::string> ChainAt(uint64_t seq);

 private:
  class Lease;
  static constexpr size_t kConnections = 2;

  explicit StoreReader(const ReaderOptions& options, Clock& clock) : options_(options), clock_(clock) {}
  absl::StatusOr<std::unique_ptr<Lease>> Take();

  const ReaderOptions options_;
  Clock& clock_;
  absl::Mutex mutex_;
  std::vector<std::unique_ptr<Database>> idle_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace quell::store
