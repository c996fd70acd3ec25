#include "tests/controller/store/fault_vfs.h"

#include <unistd.h>

#include <atomic>
#include <cstring>
#include <fstream>
#include <random>
#include <sstream>

namespace quell::store {
namespace {

struct FaultFile {
  sqlite3_file base;
  FaultVfs* vfs;
  FaultVfs::Content* content;  // null: not followed (shared memory, temporary files)
  sqlite3_file* real() { return reinterpret_cast<sqlite3_file*>(this + 1); }
};

FaultFile* Of(sqlite3_file* file) { return reinterpret_cast<FaultFile*>(file); }
sqlite3_file* Real(sqlite3_file* file) { return Of(file)->real(); }

void Apply(std::string& bytes, const FaultVfs::Write& write) {
  const auto offset = static_cast<size_t>(write.offset);
  if (write.truncate) {
    bytes.resize(std::min(bytes.size(), offset));
    return;
  }
  if (bytes.size() < offset + write.data.size()) bytes.resize(offset + write.data.size());
  bytes.replace(offset, write.data.size(), write.data);
}

int Close(sqlite3_file* f) { return Real(f)->pMethods->xClose(Real(f)); }
int Read(sqlite3_file* f, void* out, int n, sqlite3_int64 at) {
  return Real(f)->pMethods->xRead(Real(f), out, n, at);
}

int WriteTo(sqlite3_file* f, const void* data, int n, sqlite3_int64 at) {
  if (const int fault = Of(f)->vfs->Enter(); fault != SQLITE_OK) return fault;
  const int code = Real(f)->pMethods->xWrite(Real(f), data, n, at);
  if (code == SQLITE_OK && Of(f)->content != nullptr) {
    Of(f)->content->pending.push_back(
        {false, at, std::string(static_cast<const char*>(data), static_cast<size_t>(n))});
  }
  return code;
}

int Truncate(sqlite3_file* f, sqlite3_int64 size) {
  if (const int fault = Of(f)->vfs->Enter(); fault != SQLITE_OK) return fault;
  const int code = Real(f)->pMethods->xTruncate(Real(f), size);
  if (code == SQLITE_OK && Of(f)->content != nullptr) Of(f)->content->pending.push_back({true, size, ""});
  return code;
}

int Sync(sqlite3_file* f, int) {
  FaultVfs::Content* content = Of(f)->content;
  if (const int fault = Of(f)->vfs->Enter(); fault != SQLITE_OK) {
    // As the kernel does: what could not be written is forgotten, and no later sync tells.
    if (content != nullptr) content->pending.clear();
    return fault == SQLITE_FULL ? SQLITE_FULL : SQLITE_IOERR_FSYNC;
  }
  if (content == nullptr) return SQLITE_OK;
  for (const auto& write : content->pending) Apply(content->synced, write);
  content->pending.clear();
  return SQLITE_OK;  // the disk itself need not be waited for
}

int FileSize(sqlite3_file* f, sqlite3_int64* size) { return Real(f)->pMethods->xFileSize(Real(f), size); }
int Lock(sqlite3_file* f, int level) { return Real(f)->pMethods->xLock(Real(f), level); }
int Unlock(sqlite3_file* f, int level) { return Real(f)->pMethods->xUnlock(Real(f), level); }
int CheckLock(sqlite3_file* f, int* out) { return Real(f)->pMethods->xCheckReservedLock(Real(f), out); }
int Control(sqlite3_file* f, int op, void* arg) { return Real(f)->pMethods->xFileControl(Real(f), op, arg); }
int SectorSize(sqlite3_file* f) { return Real(f)->pMethods->xSectorSize(Real(f)); }
int Traits(sqlite3_file*) { return 0; }  // no promise at all about torn or reordered writes
int ShmMap(sqlite3_file* f, int page, int size, int extend, void volatile** out) {
  return Real(f)->pMethods->xShmMap(Real(f), page, size, extend, out);
}
int ShmLock(sqlite3_file* f, int offset, int n, int flags) {
  return Real(f)->pMethods->xShmLock(Real(f), offset, n, flags);
}
void ShmBarrier(sqlite3_file* f) { Real(f)->pMethods->xShmBarrier(Real(f)); }
int ShmUnmap(sqlite3_file* f, int remove) { return Real(f)->pMethods->xShmUnmap(Real(f), remove); }

const sqlite3_io_methods kMethods = {2,       Close,      Read,      WriteTo, Truncate,   Sync,   FileSize,
                                     Lock,    Unlock,     CheckLock, Control, SectorSize, Traits, ShmMap,
                                     ShmLock, ShmBarrier, ShmUnmap,  nullptr, nullptr};

FaultVfs* Self(sqlite3_vfs* vfs) { return static_cast<FaultVfs*>(vfs->pAppData); }

int Open(sqlite3_vfs* vfs, const char* path, sqlite3_file* file, int flags, int* out) {
  FaultVfs* self = Self(vfs);
  auto* fault = reinterpret_cast<FaultFile*>(file);
  memset(fault, 0, sizeof *fault);
  const int code = self->real()->xOpen(self->real(), path, fault->real(), flags, out);
  if (code != SQLITE_OK) return code;
  fault->base.pMethods = &kMethods;
  fault->vfs = self;
  fault->content = path != nullptr ? &self->Track(path) : nullptr;
  return SQLITE_OK;
}

int Delete(sqlite3_vfs* vfs, const char* path, int sync) {
  FaultVfs* self = Self(vfs);
  if (const int fault = self->Enter(); fault != SQLITE_OK) return SQLITE_IOERR_DELETE;
  const int code = self->real()->xDelete(self->real(), path, sync);
  if (code == SQLITE_OK) self->contents().erase(path);
  return code;
}

std::string ReadWhole(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::stringstream all;
  all << in.rdbuf();
  return all.str();
}

}  // namespace

FaultVfs::FaultVfs() : real_(sqlite3_vfs_find(nullptr)) {
  static std::atomic<int> number{0};
  name_ = "quell-fault-" + std::to_string(++number);
  vfs_ = *real_;
  vfs_.szOsFile = static_cast<int>(sizeof(FaultFile)) + real_->szOsFile;
  vfs_.pNext = nullptr;
  vfs_.zName = name_.c_str();
  vfs_.pAppData = this;
  vfs_.xOpen = Open;
  vfs_.xDelete = Delete;
  // The rest keeps the system's functions, which look at nothing of ours.
  sqlite3_vfs_register(&vfs_, 0);
}

FaultVfs::~FaultVfs() { sqlite3_vfs_unregister(&vfs_); }

void FaultVfs::FailAt(uint64_t n, int code, bool for_good) {
  operations_ = 0;
  fail_at_ = n;
  code_ = code;
  for_good_ = for_good;
  failed_ = false;
}

int FaultVfs::Enter() {
  if (frozen_) return SQLITE_IOERR;
  ++operations_;
  const bool fails = fail_at_ != 0 && (operations_ == fail_at_ || (for_good_ && operations_ > fail_at_));
  failed_ = failed_ || fails;
  return fails ? code_ : SQLITE_OK;
}

FaultVfs::Content& FaultVfs::Track(const std::string& path) {
  const auto found = contents_.find(path);
  if (found != contents_.end()) return found->second;
  Content& content = contents_[path];
  content.synced = ReadWhole(path);
  return content;
}

void FaultVfs::PowerCut(uint32_t seed) {
  std::mt19937 random(seed);
  for (auto& [path, content] : contents_) {
    for (Write& write : content.pending) {
      const uint32_t fate = seed == 0 ? 0 : random() % 3;
      if (fate == 0) continue;
      if (fate == 1 && !write.truncate) write.data.resize(write.data.size() / 2);
      Apply(content.synced, write);
    }
    content.pending.clear();
    std::ofstream(path, std::ios::binary | std::ios::trunc) << content.synced;
    unlink((path + "-shm").c_str());
  }
}

}  // namespace quell::store
