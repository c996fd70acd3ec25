#include "controller/notify/text.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/text/encode.h"
#include "controller/commands/plan_text.h"
#include "controller/incidents/find.h"
#include "controller/signals/correlation.h"

namespace quell::notify {
namespace {

constexpr size_t kLongest = 6000;
constexpr int kLastEntries = 12;
constexpr int kMostNames = 20;

std::string Number(const v1::Incident& incident) { return absl::StrCat("#", incident.number()); }

std::string What(const std::string& transition) {
  const std::string kind = transition.substr(0, transition.find('-'));
  if (kind == "escalated") return "nobody acknowledged";
  if (kind == "given_up") return "automation gave up";
  if (kind == "approval") return "approval wanted";
  if (kind == "relapse") return "it came back";
  if (kind == "monitoring") return "fixed, being watched";
  return transition;
}

std::string Names(const google::protobuf::RepeatedPtrField<std::string>& names) {
  std::string list;
  for (int i = 0; i < names.size() && i < kMostNames; ++i)
    absl::StrAppend(&list, i == 0 ? "" : ", ", names[i]);
  if (names.size() > kMostNames) absl::StrAppend(&list, " and ", names.size() - kMostNames, " more");
  return list;
}

void Line(std::string& text, const char* name, const std::string& value) {
  if (!value.empty()) absl::StrAppend(&text, name, ": ", value, "\n");
}

void Approvals(const engine::State& state, const v1::Incident& incident, std::string& text) {
  for (const std::string& id : incident.commands()) {
    auto it = state.commands.find(id);
    if (it == state.commands.end() || it->second.state() != v1::AWAITING_APPROVAL) continue;
    const std::string name = incidents::CommandName(state, it->second);
    absl::StrAppend(&text, "waits for you: ", it->second.target(), " on ", it->second.host(), " until ",
                    FormatClock(it->second.approval_expires_us()), " UTC: quell approve ", name,
                    " | quell deny ", name, "\n");
    Line(text, "the host says", it->second.reason());
  }
}

void Plans(const engine::State& state, const v1::Incident& incident, std::string& text) {
  for (const std::string& id : incident.plans()) {
    auto it = state.plans.find(id);
    if (it == state.plans.end() || it->second.state() != v1::PLAN_AWAITING_APPROVAL) continue;
    const std::string name = incidents::PlanName(state, it->second);
    absl::StrAppend(&text, "waits for you: ", commands::What(it->second), " (",
                    commands::HostNames(it->second), "), one first, until ",
                    FormatClock(it->second.approval_expires_us()), " UTC: quell approve ", name,
                    " | quell deny ", name, "\n");
    Line(text, "the host says", it->second.reason());
  }
}

void Timeline(const v1::Incident& incident, std::string& text) {
  absl::StrAppend(&text, "\n");
  const int first = std::max(0, incident.timeline_size() - kLastEntries);
  for (int i = first; i < incident.timeline_size(); ++i) {
    const v1::TimelineEntry& entry = incident.timeline(i);
    absl::StrAppend(&text, FormatClock(entry.at_us()), "  ", entry.who(), "  ", text::Cut(entry.text(), 300),
                    "\n");
  }
}

std::string Link(const engine::State& state, const v1::Incident& incident) {
  if (state.config.external_url().empty()) return "";
  return absl::StrCat(state.config.external_url(), "/incidents/", incident.id());
}

}  // namespace

Text Render(const engine::State& state, const v1::Incident& incident, const std::string& transition) {
  const std::string severity(signals::NameOf(incident.severity()));
  Text out;
  if (incident.category() == "security") {
    out.subject =
        absl::StrCat("[", severity, "] ", Number(incident), " ", What(transition), ": security incident");
    out.text = absl::StrCat("Details are shown to those who may see them: quell describe ", Number(incident),
                            "\n", Link(state, incident), "\n");
    return out;
  }
  out.subject = text::Cut(
      absl::StrCat("[", severity, "] ", Number(incident), " ", What(transition), ": ", incident.title()),
      250);
  Line(out.text, "incident", absl::StrCat(incident.id(), " (", Number(incident), ")"));
  Line(out.text, "severity", severity);
  Line(out.text, "services", Names(incident.services()));
  Line(out.text, "hosts", Names(incident.hosts()));
  Line(out.text, "started", FormatRfc3339(incident.started_us()));
  Line(out.text, "impact", incident.impact());
  Line(out.text, "automation ended", incident.given_up() ? incident.given_up_why() : "");
  if (incident.status() == v1::RESOLVED) {
    Line(out.text, "duration", FormatAge(incident.resolved_us() - incident.started_us()));
    Line(out.text, "cause", incident.root_cause());
    Line(out.text, "resolution", incident.resolution());
  } else {
    Line(out.text, "probable cause", incident.probable_cause());
    Approvals(state, incident, out.text);
    Plans(state, incident, out.text);
    absl::StrAppend(&out.text, "next: quell ack ", incident.number(), " | quell explain ", incident.number(),
                    "\n");
  }
  Line(out.text, "link", Link(state, incident));
  Timeline(incident, out.text);
  out.text = text::Cut(out.text, kLongest);
  return out;
}

Text RenderTest(const engine::State& state, const std::string& receiver, const std::string& who) {
  Text out;
  out.subject = "[test] quell can reach " + receiver;
  out.text = absl::StrCat("A test notice, asked for by ", who, ". Nothing is wrong.\n",
                          state.config.external_url(), "\n");
  return out;
}

}  // namespace quell::notify
