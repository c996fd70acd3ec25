#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/base/disk.h"
#include "common/base/status.h"

namespace quell {
namespace {

absl::Status Absent(std::string_view doing, const std::string& path) {
  return absl::NotFoundError(
      absl::StrCat(absl::string_view(doing.data(), doing.size()), " ", path, ": no such file"));
}

}  // namespace

// Follows its file, not its name: a renamed file is written on, a removed one swallows what is written. After
// a crash the handle is of a process that is gone, and every use fails.
class MemoryAppendFile final : public AppendFile {
 public:
  MemoryAppendFile(MemoryDisk& disk, uint64_t inode, std::string path)
      : disk_(disk), inode_(inode), crashes_(disk.crashes_), path_(std::move(path)) {}

  absl::Status Append(std::string_view bytes) override {
    QUELL_RETURN_IF_ERROR(Usable());
    QUELL_RETURN_IF_ERROR(disk_.Enter("append", path_));
    if (MemoryDisk::Content* content = Find()) content->data.append(bytes);
    return absl::OkStatus();
  }
  absl::Status Sync() override {
    QUELL_RETURN_IF_ERROR(Usable());
    QUELL_RETURN_IF_ERROR(disk_.Enter("sync", path_));
    if (MemoryDisk::Content* content = Find()) content->synced = content->data.size();
    return absl::OkStatus();
  }
  absl::StatusOr<uint64_t> Size() override {
    QUELL_RETURN_IF_ERROR(Usable());
    const MemoryDisk::Content* content = Find();
    return content == nullptr ? 0 : content->data.size();
  }

 private:
  absl::Status Usable() const {
    if (crashes_ == disk_.crashes_) return absl::OkStatus();
    return absl::FailedPreconditionError(absl::StrCat("using ", path_, ": it was opened before the crash"));
  }
  MemoryDisk::Content* Find() {
    for (auto& [path, content] : disk_.files_) {
      if (content.inode == inode_) return &content;
    }
    return nullptr;
  }

  MemoryDisk& disk_;
  const uint64_t inode_;
  const uint64_t crashes_;
  const std::string path_;
};

absl::Status MemoryDisk::Enter(std::string_view operation, std::string_view path) {
  ++operations_;
  return fault_ ? fault_(operations_, operation, path) : absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<AppendFile>> MemoryDisk::OpenAppend(const std::string& path) {
  QUELL_RETURN_IF_ERROR(Enter("open", path));
  Content& content = files_[path];
  if (content.inode == 0) content.inode = ++last_inode_;
  return std::make_unique<MemoryAppendFile>(*this, content.inode, path);
}

absl::StatusOr<std::string> MemoryDisk::Read(const std::string& path, uint64_t limit) {
  QUELL_RETURN_IF_ERROR(Enter("read", path));
  const auto it = files_.find(path);
  if (it == files_.end()) return Absent("reading", path);
  if (it->second.data.size() > limit) {
    return absl::ResourceExhaustedError(absl::StrCat("reading ", path, ": longer than ", limit, " bytes"));
  }
  return it->second.data;
}

absl::Status MemoryDisk::WriteWhole(const std::string& path, std::string_view content) {
  QUELL_RETURN_IF_ERROR(Enter("write", path));
  // A new file takes the name, as rename does; handles of the old one write on to nobody.
  files_[path] = Content{std::string(content), content.size(), ++last_inode_};
  return absl::OkStatus();
}

absl::Status MemoryDisk::Truncate(const std::string& path, uint64_t size) {
  QUELL_RETURN_IF_ERROR(Enter("truncate", path));
  const auto it = files_.find(path);
  if (it == files_.end()) return Absent("truncating", path);
  it->second.data.resize(size);
  it->second.synced = size;
  return absl::OkStatus();
}

absl::Status MemoryDisk::Rename(const std::string& from, const std::string& to) {
  QUELL_RETURN_IF_ERROR(Enter("rename", from));
  const auto it = files_.find(from);
  if (it == files_.end()) return Absent("renaming", from);
  Content moved = std::move(it->second);
  files_.erase(it);
  files_[to] = std::move(moved);
  return absl::OkStatus();
}

absl::Status MemoryDisk::Remove(const std::string& path) {
  QUELL_RETURN_IF_ERROR(Enter("remove", path));
  files_.erase(path);
  return absl::OkStatus();
}

absl::StatusOr<std::vector<std::string>> MemoryDisk::List(const std::string& directory) {
  QUELL_RETURN_IF_ERROR(Enter("list", directory));
  const std::string prefix = directory.ends_with('/') ? directory : directory + "/";
  std::vector<std::string> names;
  for (const auto& [path, content] : files_) {
    if (!path.starts_with(prefix)) continue;
    std::string name = path.substr(prefix.size());
    name.resize(std::min(name.size(), name.find('/')));
    if (names.empty() || names.back() != name) names.push_back(std::move(name));
  }
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  return names;
}

bool MemoryDisk::Exists(const std::string& path) { return files_.contains(path); }

void MemoryDisk::Crash(uint64_t torn) {
  ++crashes_;
  for (auto& [path, content] : files_) {
    content.data.resize(std::min<uint64_t>(content.data.size(), content.synced + torn));
    content.synced = content.data.size();  // what is read after the start is what the disk has
  }
}

}  // namespace quell
