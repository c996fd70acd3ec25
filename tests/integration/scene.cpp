#include "tests/integration/scene.h"

#include <gtest/gtest.h>
#include <pwd.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "common/base/process.h"
#include "tests/support/wait.h"

namespace quell::test {
namespace {

constexpr char kApp[] = R"js(
const fs = require("fs"), http = require("http"), dir = process.env.CONTROL;
fs.appendFileSync(dir + "/starts", process.pid + "\n");
if (process.env.STUBBORN) process.on("SIGINT", () => process.exit(0));
setInterval(() => {
  for (const order of ["hang", "crash"]) {
    if (!fs.existsSync(dir + "/" + order)) continue;
    fs.rmSync(dir + "/" + order);
    if (order === "crash") process.exit(1);
    fs.writeSync(1, "last words before it hangs\n");
    for (;;) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
  }
}, 50);
http.createServer((request, response) => response.end("ok")).listen(Number(process.env.PORT), "127.0.0.1");
)js";

std::string Sanctions(const std::string& approval) {
  return absl::StrCat("- {action: pm2.restart, user: ", getpwuid(getuid())->pw_name,
                      ", allow: {apps: [portal, nobody]}, approval: ", approval, "}\n");
}

std::string Settings(const SceneOptions& options) {
  Json settings = Json::object();
  if (!options.autorestart) settings["autorestart"] = false;
  if (options.stubborn_ms > 0) settings["kill_timeout"] = options.stubborn_ms;
  return settings.dump();
}

}  // namespace

const char kAppRules[] = R"(groups:
- name: apps
  interval: 1s
  rules:
  - alert: AppHung
    expr: probe_success{app!=""} == 0 and on (instance, user, app) pm2_app_online == 1
    for: 2s
    labels: {severity: P1, service: portal}
    annotations: {summary: "{{ $labels.app }} on {{ $labels.instance }} does not answer"}
  - alert: AppGivenUp
    expr: pm2_app_given_up == 1
    labels: {severity: P1, service: portal}
    annotations: {summary: "{{ $labels.app }} on {{ $labels.instance }} is down"}
  - alert: AppCrashLoop
    expr: pm2_app_unplanned_exits_5m >= 3
    labels: {severity: P1, service: portal}
    annotations: {summary: "{{ $labels.app }} on {{ $labels.instance }} keeps ending"}
)";

Pm2App HangingApp(const std::string& name, const std::string& control, uint16_t port,
                  const std::string& settings) {
  return {.name = name,
          .source = kApp,
          .settings = settings,
          .environment = {{"PORT", absl::StrCat(port)}, {"CONTROL", control}}};
}

WorldOptions HungAppScene::Options(const SceneOptions& options, const std::string& control, uint16_t port) {
  const std::string user = getpwuid(getuid())->pw_name;
  WorldOptions world;
  world.apps = {HangingApp("portal", control, port, Settings(options))};
  if (options.stubborn_ms > 0) world.apps[0].environment["STUBBORN"] = "1";
  world.rules = kAppRules;
  world.policies = absl::StrCat(R"(policies:
- name: restart-app
  mode: )",
                                options.mode, R"(
  when: {alert: [AppHung, AppGivenUp]}
  page: )",
                                options.page, R"(
  steps:
  - action: pm2.restart
    with: {user: $labels.user, app: $labels.app}
    verify: {cleared: true, within: )",
                                options.within, R"(, hold: 2s}
  guard: {cooldown: 5m, attempts: {max: 2, within: 1h}, fresh: 10s}
  otherwise: page
)");
  if (options.sanctioned) {
    world.sanctions = Sanctions(options.approval);
  }
  world.probes =
      absl::StrCat("[{name: health, about: {user: ", user, ", app: portal}, url: \"http://127.0.0.1:", port,
                   "/\", every: 1s, timeout: 1s, expect: {status: 200, body: ok}}]");
  world.deadlines = options.deadlines;
  world.audience = options.audience;
  world.receivers = options.receivers;
  world.enrols = options.enrols;
  world.people = options.people;
  return world;
}

HungAppScene::HungAppScene(const SceneOptions& options)
    : port_(FreePort()), world_(std::make_unique<World>(Options(options, control_.path(), port_))) {
  world_->StartAll();
  EXPECT_TRUE(WaitFor(
      [this] {
        const Json up = world_->Quell({"query", "probe_success == 1"});
        return up.is_object() && up.contains("result") && !up["result"].empty();
      },
      30 * kSecond));
}

void HungAppScene::Sanction(const std::string& approval) {
  world_->dir().Write("sanctions/sanctions.yaml", Sanctions(approval));
}

void HungAppScene::Hang() { control_.Write("hang", ""); }
void HungAppScene::Crash() { control_.Write("crash", ""); }

bool HungAppScene::Answers() {
  SpawnOptions options;
  options.program = "/usr/bin/curl";
  options.argv = {"curl", "-sf", "-m", "1", absl::StrCat("http://127.0.0.1:", port_, "/")};
  options.memory_limit = 0;
  auto child = RealProcess().Start(options);
  return child.ok() && (*child)->Wait().code == 0;
}

}  // namespace quell::test
