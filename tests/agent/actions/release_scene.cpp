#include "tests/agent/actions/release_scene.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"

namespace quell::agent {

ReleaseScene::ReleaseScene() {
  directory_.MakeDirectory("portal");
  directory_.MakeDirectory("portal/releases");
  place_.set_deployment("portal");
  place_.set_path(path());
  place_.set_layout("releases");
}

void ReleaseScene::Add(const std::string& release, const std::string& server) {
  const std::string below = "portal/releases/" + release;
  test::WriteTree(directory_.path(),
                  {{below + "/server.js", server},
                   {below + "/package.json", absl::StrCat(R"({"version": ")", release, "\"}")},
                   {below + "/lib/util.js", "module.exports = 1;"}});
}

void ReleaseScene::Point(const std::string& link) {
  const std::string next = path() + "/next";
  ASSERT_EQ(symlink(link.c_str(), next.c_str()), 0);
  ASSERT_EQ(rename(next.c_str(), (path() + "/current").c_str()), 0);
}

std::string ReleaseScene::Current() const {
  char text[4096];
  const ssize_t n = readlink((path() + "/current").c_str(), text, sizeof text);
  return n < 0 ? "" : std::string(text, static_cast<size_t>(n));
}

void ReleaseScene::Record(const std::string& release) {
  PointTo(release);
  v1::WorkerRequest request = Request("");
  request.set_task(v1::WORKER_TASK_RECORD);
  request.mutable_to()->set_name(release);
  const v1::WorkerResult result = RecordRelease(request, RealClock());
  ASSERT_TRUE(result.ok()) << result.reason();
  ASSERT_EQ(result.current(), release);
  ASSERT_EQ(result.releases_size(), 1);
  *place_.add_recorded() = result.releases(0);
}

v1::WorkerRequest ReleaseScene::Request(const std::string& to, bool by_person) const {
  v1::WorkerRequest request;
  v1::ReleaseRollback& rollback = *request.mutable_action()->mutable_release_rollback();
  rollback.set_user("deploy");
  rollback.set_deployment("portal");
  rollback.set_to(to);
  *request.mutable_release() = place_;
  request.mutable_release()->set_by_person(by_person);
  request.set_target_uid(geteuid());
  request.set_budget_ms(30'000);
  request.set_budget_bytes(1 << 20);
  return request;
}

}  // namespace quell::agent
