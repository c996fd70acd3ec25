#include "agent/collectors/changes/names.h"

#include <dirent.h>
#include <fnmatch.h>
#include <sys/stat.h>

#include <algorithm>
#include <memory>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace quell::agent {
namespace {

class Finder {
 public:
  Finder(const std::string& root, const std::string& pattern)
      : root_(root), parts_(absl::StrSplit(pattern, '/', absl::SkipEmpty())) {}

  absl::StatusOr<std::vector<std::string>> Run() {
    if (parts_.size() > NamePattern::kMostComponents) return TooMuch("components");
    Descend("", 0);
    if (entries_ > NamePattern::kMostEntries) return TooMuch("directory entries to look at");
    if (found_.size() > NamePattern::kMostFiles) return TooMuch("files");
    std::sort(found_.begin(), found_.end());
    return std::move(found_);
  }

 private:
  static absl::Status TooMuch(const char* what) {
    return absl::ResourceExhaustedError(absl::StrCat("the pattern has too many ", what));
  }
  bool Over() const {
    return entries_ > NamePattern::kMostEntries || found_.size() > NamePattern::kMostFiles;
  }

  void Descend(const std::string& path, size_t part) {
    if (part == parts_.size()) {
      struct stat st {};
      if (stat((root_ + path).c_str(), &st) == 0 && S_ISREG(st.st_mode)) found_.push_back(path);
      return;
    }
    const std::string& name = parts_[part];
    if (name.find_first_of("*?[") == std::string::npos) return Descend(path + "/" + name, part + 1);
    const std::unique_ptr<DIR, int (*)(DIR*)> directory(opendir((root_ + path + "/").c_str()), &closedir);
    if (directory == nullptr) return;
    while (const dirent* entry = readdir(directory.get())) {
      if (++entries_ > NamePattern::kMostEntries) return;
      const std::string found = entry->d_name;
      if (found == "." || found == "..") continue;
      if (fnmatch(name.c_str(), found.c_str(), FNM_PERIOD) == 0) Descend(path + "/" + found, part + 1);
      if (Over()) return;
    }
  }

  const std::string& root_;
  const std::vector<std::string> parts_;
  std::vector<std::string> found_;
  size_t entries_ = 0;
};

}  // namespace

absl::StatusOr<std::vector<std::string>> FindNames(const std::string& root, const std::string& pattern) {
  return Finder(root, pattern).Run();
}

}  // namespace quell::agent
