// A rollback's time by part, against a real PM2 on this machine.
//
//   release_bench [ROUNDS] [FILES] [KB]     (default: 20 rounds, releases of 5,000 files of 20 KB)
//
// In each round release.rollback goes from one of two releases to the other, as its workers do it, without
// the processes around them. The parts of the effect are those of its own report: hash (the target's tree is
// read and compared once more, from the page cache after the first round), link (made, renamed, synced),
// start (PM2's calls: the old process ends, the new one is spawned), verify (until the new process has been
// up for one second and runs from the target). The check before it, which hashes too, is timed apart.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "absl/strings/str_cat.h"
#include "agent/actions/release_rollback.h"
#include "common/base/status.h"
#include "tests/agent/actions/release_scene.h"
#include "tests/support/pm2_daemon.h"

namespace quell::agent {
namespace {

constexpr const char* kParts[] = {"check", "hash", "link", "start", "verify", "effect in all"};

void Fill(const ReleaseScene& scene, const std::string& release, int files, int kilobytes) {
  const std::string content(static_cast<size_t>(kilobytes) << 10, 'x');
  for (int i = 0; i < files; ++i) {
    scene.directory().Write(
        absl::StrCat("portal/releases/", release, "/node_modules/", i / 50, "/", i % 50, ".js"), content);
  }
}

double Quantile(std::vector<double> values, double q) {
  std::sort(values.begin(), values.end());
  return values[std::min(values.size() - 1, static_cast<size_t>(q * static_cast<double>(values.size())))];
}

int Run(int rounds, int files, int kilobytes) {
  ReleaseScene scene;
  test::TempDir pm2;
  for (const char* release : {"1", "2"}) {
    scene.Add(release);
    Fill(scene, release, files, kilobytes);
    scene.Record(release);
  }
  auto daemon = test::Pm2Daemon::Start(
      pm2.path(), {{.name = "portal",
                    .settings = absl::StrCat(R"({"script": ")", scene.PathOf("2"), R"(/server.js", "cwd": ")",
                                             scene.PathOf("2"), "\"}")}});
  Require(daemon.ok(), daemon.status().ToString());
  scene.place().set_app("portal");
  std::vector<double> times[6];
  for (int round = 0; round < rounds; ++round) {
    v1::WorkerRequest request = scene.Request(round % 2 == 0 ? "1" : "2", true);
    request.set_pm2_home((*daemon)->home());
    const Micros began = RealClock().Monotonic();
    const v1::WorkerResult check = MakeReleaseRollback()->Check(request, RealClock());
    Require(check.ok(), check.reason());
    const Micros checked = RealClock().Monotonic();
    const v1::WorkerResult run = MakeReleaseRollback()->Run(request, RealClock());
    Require(run.ok(), run.reason());
    double hash = 0, link = 0, start = 0, verify = 0;
    const size_t parts = run.reason().find("(hash ");
    const int read =
        parts == std::string::npos
            ? 0
            : sscanf(run.reason().c_str() + parts, "(hash %lf ms, link %lf ms, start %lf ms, verify %lf ms",
                     &hash, &link, &start, &verify);
    Require(read == 4, "the report names its parts");
    const auto ms = [](Micros t) { return static_cast<double>(t) / kMillisecond; };
    const double round_times[] = {
        ms(checked - began), hash, link, start, verify, ms(RealClock().Monotonic() - checked)};
    for (int i = 0; i < 6; ++i) times[i].push_back(round_times[i]);
  }
  const double megabytes = static_cast<double>(files) * kilobytes / 1024;
  printf("%d rollbacks, releases of %d files, %.0f MiB; milliseconds\n", rounds, files, megabytes);
  for (int i = 0; i < 6; ++i) {
    printf("%-14s p50 %8.1f   p99 %8.1f\n", kParts[i], Quantile(times[i], 0.5), Quantile(times[i], 0.99));
  }
  return 0;
}

}  // namespace
}  // namespace quell::agent

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);  // the scene's checks end up there
  const auto argument = [&](int i, int otherwise) {
    return argc > i ? std::max(1, atoi(argv[i])) : otherwise;
  };
  return quell::agent::Run(argument(1, 20), argument(2, 5000), argument(3, 20));
}
