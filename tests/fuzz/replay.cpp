// Runs a fuzzer's corpus, and each of its files with bytes changed, cut and doubled from a fixed seed, as an
// ordinary test.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <random>
#include <string>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace {

void RunOne(const std::string& input) {
  LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(input.data()), input.size());
}

std::string Mutate(std::string input, std::mt19937& random) {
  for (unsigned i = 1 + random() % 8; i-- > 0 && !input.empty();) {
    const size_t at = random() % input.size();
    switch (random() % 4) {
      case 0:
        input[at] = static_cast<char>(random());
        break;
      case 1:
        input.erase(at, 1 + random() % 16);
        break;
      case 2:
        input.insert(at, input.substr(at, random() % 64));
        break;
      default:
        input[at] = static_cast<char>(input[at] ^ (1 << random() % 8));
        break;
    }
  }
  return input;
}

TEST(CorpusTest, ReplaysWithMutations) {
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(QUELL_CORPUS)) files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  ASSERT_FALSE(files.empty()) << QUELL_CORPUS;
  std::mt19937 random(20261123);
  for (const auto& path : files) {
    std::ifstream in(path, std::ios::binary);
    const std::string input{std::istreambuf_iterator<char>(in), {}};
    SCOPED_TRACE(path.string());
    RunOne(input);
    for (int i = 0; i < 300; ++i) RunOne(Mutate(input, random));
  }
}

}  // namespace
