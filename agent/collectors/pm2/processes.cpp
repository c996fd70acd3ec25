#include "agent/collectors/pm2/processes.h"

#include <unistd.h>

#include <string_view>

#include "absl/strings/str_cat.h"

namespace quell::agent {
namespace {

struct StatFields {
  char state = 0;
  double utime = 0, stime = 0, threads = 0, start = 0, rss_pages = 0;
};

// The name stands in parentheses and may hold anything: what counts comes after the last one. The state is
// field 3 of the file.
bool ParseStat(std::string_view text, StatFields* out) {
  const size_t end = text.rfind(')');
  if (end == text.npos) return false;
  std::string_view rest = text.substr(end + 1);
  if (rest.ends_with('\n')) rest.remove_suffix(1);
  for (int field = 3; field <= 24; ++field) {
    const std::string_view word = NextWord(&rest);
    if (word.empty()) return false;
    if (field == 3) out->state = word[0];
    double* const number = field == 14   ? &out->utime
                           : field == 15 ? &out->stime
                           : field == 20 ? &out->threads
                           : field == 22 ? &out->start
                           : field == 24 ? &out->rss_pages
                                         : nullptr;
    if (number != nullptr && !ParseNumber(word, number)) return false;
  }
  return true;
}

}  // namespace

ProcessReading Processes::Read(int64_t pid) {
  auto found = watched_.find(pid);
  if (found == watched_.end())
    found = watched_.emplace(pid, Watched{ProcFile(absl::StrCat(root_, "/proc/", pid, "/stat"))}).first;
  Watched& watched = found->second;
  watched.round = round_;
  StatFields fields;
  watched.last.alive = false;
  if (!ParseStat(watched.file.Read(), &fields)) return watched.last;
  if (watched.start >= 0 && fields.start != watched.start) return watched.last;  // another process
  static const double ticks = static_cast<double>(sysconf(_SC_CLK_TCK));
  static const double page = static_cast<double>(sysconf(_SC_PAGESIZE));
  watched.start = fields.start;
  watched.last = {true, fields.state != 'Z' && fields.state != 'X', (fields.utime + fields.stime) / ticks,
                  fields.rss_pages * page, fields.threads};
  return watched.last;
}

void Processes::End() {
  for (auto it = watched_.begin(); it != watched_.end();)
    it = it->second.round == round_ ? std::next(it) : watched_.erase(it);
}

}  // namespace quell::agent
