// simulation --seeds FROM-TO: runs each seed twice, compares the traces, prints what is broken and how to run
// that seed again. Exit 0 when nothing is.
#include <google/protobuf/stubs/logging.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "tests/simulation/world.h"

int main(int argc, char** argv) {
  google::protobuf::SetLogHandler(nullptr);
  unsigned long long from = 1, to = 100;
  if (argc == 3 && std::strcmp(argv[1], "--seeds") == 0 &&
      std::sscanf(argv[2], "%llu-%llu", &from, &to) >= 1) {
    if (std::strchr(argv[2], '-') == nullptr) to = from;
  } else if (argc != 1) {
    std::fprintf(stderr, "usage: simulation [--seeds FROM-TO]\n");
    return 2;
  }
  int failed = 0;
  size_t records = 0, effects = 0, crashes = 0, pages = 0, plans = 0, waves = 0, second_steps = 0,
         signed_effects = 0;
  for (unsigned long long seed = from; seed <= to; ++seed) {
    quell::simulation::Result first = quell::simulation::RunSeed(seed);
    if (first.trace != quell::simulation::RunSeed(seed).trace)
      first.broken.push_back("two runs gave two traces");
    records += first.records, effects += first.effects, crashes += first.crashes, pages += first.pages;
    plans += first.plans, waves += first.waves, second_steps += first.second_steps;
    signed_effects += first.signed_effects;
    if (first.broken.empty()) continue;
    ++failed;
    std::printf("seed %llu is broken; again: %s --seeds %llu-%llu\n", seed, argv[0], seed, seed);
    for (const std::string& what : first.broken) std::printf("  %s\n", what.c_str());
  }
  std::printf(
      "%llu seeds, %d broken; %zu records, %zu effects, %zu crashes, %zu pages, %zu plans, %zu waves, "
      "%zu second steps, %zu effects with signatures\n",
      to - from + 1, failed, records, effects, crashes, pages, plans, waves, second_steps, signed_effects);
  return failed == 0 ? 0 : 1;
}
