#include "cli/program.h"

#include <CLI/CLI.hpp>
#include <sstream>

#include "cli/agents.h"
#include "cli/approve.h"
#include "cli/doctor.h"
#include "cli/login.h"
#include "cli/rules_check.h"
#include "cli/run.h"
#include "cli/session.h"
#include "common/base/time.h"
#include "common/text/encode.h"
#include "common/text/help.h"

#ifndef QUELL_VERSION
#error "the build says which version this is"
#endif

namespace quell::cli {
namespace {

constexpr char kManual[] =
    ".SH EXIT STATUS\n0 done, 1 failed, 2 usage, 3 no such thing, 4 not allowed, 5 withheld by a guard or "
    "sanction, 6 "
    "controller unreachable, 7 outcome unknown, 8 timed out.\n"
    ".SH SEE ALSO\nquell\\-controller(8), quell\\-agent(8)\n";

// The values of all verbs' options. Filled while parsing, read by the verb that was chosen.
struct Words {
  Common common;
  std::string kind, name, title, severity = "P2", service, incident, text, cause, fix, why, command,
                                 expression, range, step, policy, host, id, length, receiver, since, cursor,
                                 scope_host, item, role, timeout = "2m";
  std::vector<std::string> labels, hosts, files, first;
  unsigned limit = 0;
  bool all = false, every = false, failed = false;
  RunOptions run;
  ApproveOptions approve;
  TokenOptions token;
  LoginOptions login;
};

using Verb = std::function<int(Session&)>;

// Verbs are added one after the other; the chosen one is left in `chosen`.
class Verbs {
 public:
  Verbs(CLI::App& app, Words& words, Verb& chosen) : app_(app), words_(words), chosen_(chosen) {}
  CLI::App* Add(CLI::App& parent, const std::string& name, const std::string& help, Verb verb) {
    CLI::App* sub = parent.add_subcommand(name, help);
    AddCommon(*sub);
    // Of a verb that has verbs of its own, the inner one is the one that was meant.
    sub->callback([this, verb = std::move(verb)] {
      if (!chosen_) chosen_ = verb;
    });
    return sub;
  }
  CLI::App* Add(const std::string& name, const std::string& help, Verb verb) {
    return Add(app_, name, help, std::move(verb));
  }
  // Before the verb or behind it: both are understood.
  void AddCommon(CLI::App& app) {
    app.add_option("-o,--output", words_.common.output, "table, wide, json or yaml")
        ->check(CLI::IsMember({"table", "wide", "json", "yaml"}));
    app.add_option("--socket", words_.common.socket, "the controller's Unix socket, on its own host");
    app.add_option("--context", words_.common.context,
                   "one of ~/.config/quell/config.yaml; else its current");
  }

 private:
  CLI::App& app_;
  Words& words_;
  Verb& chosen_;
};

absl::StatusOr<Micros> Duration(const std::string& text) {
  if (text.empty()) return Micros{0};
  return ParseDuration(text);
}

v1::Severity ParseSeverity(const std::string& text) {
  if (text == "P0") return v1::P0;
  if (text == "P1") return v1::P1;
  return text == "P3" ? v1::P3 : v1::P2;
}

// ---- reading

int Get(Session& session, const Words& words) {
  v1::GetRequest request;
  request.set_kind(words.kind);
  request.set_name(words.name);
  request.set_limit(words.limit);
  request.set_cursor(words.cursor);
  request.set_all(words.all);
  const auto since = Duration(words.since);
  if (!since.ok()) return session.Fail(since.status());
  request.set_since_us(*since);
  const auto labels = ParseLabels(words.labels);
  if (!labels.ok()) return session.Fail(labels.status());
  for (const auto& [key, value] : *labels) (*request.mutable_labels())[key] = value;
  return session.Show("Get", request, [&](const Json& document, const ViewOptions& options) {
    if (document.value("items", Json::array()).empty()) session.Say("none");
    if (document.contains("next_cursor") && document["next_cursor"].is_string())
      session.Say("there are more: --cursor " + document["next_cursor"].get<std::string>());
    return ListView(words.kind, document, options);
  });
}

std::string DescribeView(const std::string& kind, const Json& document, const ViewOptions& options) {
  if (kind == "incident") return IncidentView(document, options);
  if (kind == "command") return CommandView(document, options);
  return FieldsView(document, options);
}

void AddReading(Verbs& verbs, Words& w) {
  verbs.Add("status", "what is wrong, what was done, what waits for you",
            [](Session& s) { return s.Show("Status", v1::StatusRequest(), StatusView); });
  CLI::App* get = verbs.Add("get", "a list", [&w](Session& s) { return Get(s, w); });
  get->add_option(
         "KIND", w.kind,
         "incidents, hosts, apps, services, signals, rules, policies, actions, commands, holds, changes, …")
      ->required();
  get->add_option("NAME", w.name, "one of them");
  get->add_option("-l,--label", w.labels, "key=value")->allow_extra_args(false);
  get->add_option("--since", w.since, "of the last 2h, 30m, …");
  get->add_option("--limit", w.limit, "at most so many")->check(CLI::Range(1u, 1000u));
  get->add_option("--cursor", w.cursor, "where the last list ended");
  get->add_flag("-a,--all", w.all, "those that ended, too");
  CLI::App* describe = verbs.Add("describe", "all about one thing", [&w](Session& s) {
    v1::DescribeRequest request;
    request.set_kind(w.kind);
    request.set_name(w.name);
    return s.Show("Describe", request, [&w](const Json& document, const ViewOptions& o) {
      return DescribeView(w.kind, document, o);
    });
  });
  describe->add_option("KIND", w.kind, "incident, command, host, app, service, policy, rule, signal, action")
      ->required();
  describe->add_option("NAME", w.name, "which one");
  CLI::App* explain = verbs.Add("explain", "why it was or was not done", [&w](Session& s) {
    v1::ExplainRequest request;
    request.set_name(w.name);
    return s.Show("Explain", request, ExplainView);
  });
  explain->add_option("NAME", w.name, "an incident, a command or a signal's key");
  CLI::App* evidence =
      verbs.Add("evidence", "what was taken before commands were carried out", [&w](Session& s) {
        v1::EvidenceRequest request;
        request.set_name(w.name);
        request.set_item(w.item);
        return s.Show("Evidence", request, w.item.empty() ? EvidenceView : EvidenceItemView);
      });
  evidence->add_option("NAME", w.name, "an incident or a command: #417, last, 417.2, C-58");
  evidence->add_option("--item", w.item, "print the content of this one: log.out, proc.status, …");
  CLI::App* query = verbs.Add("query", "a PromQL expression, now or over a range", [&w](Session& s) {
    v1::QueryRequest request;
    request.set_expr(w.expression);
    const auto range = Duration(w.range);
    const auto step = Duration(w.step);
    if (!range.ok() || !step.ok()) return s.Fail(range.ok() ? step.status() : range.status());
    request.set_range_us(*range);
    request.set_step_us(*step);
    return s.Show("Query", request, QueryView);
  });
  query->add_option("PROMQL", w.expression, "the expression")->required();
  query->add_option("--range", w.range, "the last 1h, …");
  query->add_option("--step", w.step, "between two points of a range");
  verbs.Add("init", "a draft of the controller's catalogue.yaml, from what it sees: printed, and no more",
            [](Session& s) { return s.Show("Draft", v1::DraftRequest(), DraftView); });
  verbs.Add("whoami", "who you are to the controller",
            [](Session& s) { return s.Show("WhoAmI", v1::WhoAmIRequest(), FieldsView); });
}

int Version(Session& session) {
  Json document = {{"quell", QUELL_VERSION}};
  const auto client = session.controller();
  auto other =
      client.ok() ? (*client)->Read("Version", v1::VersionRequest()) : absl::StatusOr<Json>(client.status());
  if (other.ok())
    document.update(*other);
  else
    session.Say("quell: " + std::string(other.status().message()));
  session.Print(document, FieldsView);
  return kDone;
}

int AuditVerify(Session& session) {
  const auto client = session.controller();
  if (!client.ok()) return session.Fail(client.status());
  const auto document = (*client)->Read("AuditVerify", v1::AuditVerifyRequest());
  if (!document.ok()) return session.Fail(document.status());
  session.Print(*document, FieldsView);
  return document->value("holds", false) ? kDone : kFailed;
}

// ---- incident work

v1::IncidentAct Act(const std::string& incident, const std::string& text) {
  v1::IncidentAct act;
  act.set_incident(incident);
  act.set_text(text);
  return act;
}

void AddIncidentWork(Verbs& verbs, Words& w) {
  CLI::App* declare = verbs.Add("declare", "an incident that a person saw", [&w](Session& s) {
    v1::Declare request;
    request.set_title(w.title);
    request.set_severity(ParseSeverity(w.severity));
    request.set_service(w.service);
    return s.Do("Declare", request);
  });
  declare->add_option("TITLE", w.title, "what is wrong")->required();
  declare->add_option("--severity", w.severity, "P0 to P3")->check(CLI::IsMember({"P0", "P1", "P2", "P3"}));
  declare->add_option("--service", w.service, "what it touches");
  verbs.Add("ack", "you know of it", [&w](Session& s) { return s.Do("Acknowledge", Act(w.incident, "")); })
      ->add_option("INC", w.incident, "#417, 417, an id, last");
  verbs
      .Add("take", "it is yours: automation asks first",
           [&w](Session& s) { return s.Do("Take", Act(w.incident, "")); })
      ->add_option("INC", w.incident, "#417, 417, an id, last");
  CLI::App* note = verbs.Add("note", "write something down in an incident", [&w](Session& s) {
    // One word alone is the text, of the only open incident.
    const bool named = w.first.size() == 2;
    return s.Do("AddNote", Act(named ? w.first[0] : "", w.first.back()));
  });
  note->add_option("[INC] TEXT", w.first, "the incident, unless one alone is open, and the text")
      ->required()
      ->expected(1, 2);
  CLI::App* resolve = verbs.Add("resolve", "it is over", [&w](Session& s) {
    v1::ResolveAct request;
    request.set_incident(w.incident);
    request.set_cause(w.cause);
    request.set_fix(w.fix);
    return s.Do("Resolve", request);
  });
  resolve->add_option("INC", w.incident, "#417, 417, an id, last");
  resolve->add_option("--cause", w.cause, "what it came from");
  resolve->add_option("--fix", w.fix, "what put it right");
  CLI::App* approve =
      verbs.Add("approve", "let a command or a plan be carried out: shows it, and signs it with your key",
                [&w](Session& s) {
                  w.approve.command = w.command;
                  w.approve.why = w.why;
                  return Approve(s, w.approve);
                });
  approve->add_flag("--yes", w.approve.yes, "sign without asking");
  CLI::App* deny = verbs.Add("deny", "refuse a command, or stop a plan", [&w](Session& s) {
    v1::CommandAct request;
    request.set_command(w.command);
    request.set_why(w.why);
    return s.Do("Deny", request);
  });
  for (CLI::App* decide : {approve, deny}) {
    decide->add_option("CMD", w.command, "417.2 or C-58")->required();
    decide->add_option("--why", w.why, "for the record");
  }
}

// ---- commands, holds, the rest

std::vector<std::string> SplitCommas(const std::vector<std::string>& words) {
  std::vector<std::string> out;
  for (const auto& word : words) {
    std::stringstream parts(word);
    for (std::string part; std::getline(parts, part, ',');)
      if (!part.empty()) out.push_back(part);
  }
  return out;
}

void AddRun(Verbs& verbs, Words& w) {
  CLI::App* holder = nullptr;
  auto extras = std::make_shared<CLI::App*>(nullptr);
  holder = verbs.Add(
      "run", "carry out an action, on many hosts as a plan in waves: run ACTION --host H[,H] [--KEY VALUE …]",
      [&w, extras](Session& s) {
        RunOptions options = w.run;
        options.hosts = SplitCommas(w.hosts);
        const auto params = ParseParams((*extras)->remaining());
        if (!params.ok()) return s.Fail(params.status());
        options.params = *params;
        const auto timeout = Duration(w.timeout);
        if (!timeout.ok()) return s.Fail(timeout.status());
        options.timeout = absl::Microseconds(*timeout);
        return Run(s, options);
      });
  *extras = holder;
  holder->allow_extras();
  holder->add_option("ACTION", w.run.action, "as `quell get actions` lists them")->required();
  holder->add_option("--host", w.hosts, "the hosts, with commas between them")->allow_extra_args(false);
  holder->add_option("--service", w.run.service, "the hosts that have this app");
  holder->add_option("-l,--label", w.run.labels, "the hosts with this key=value")->allow_extra_args(false);
  holder->add_option("--incident", w.run.incident, "what it belongs to");
  holder->add_option("--timeout", w.timeout, "how long to wait for the end");
  holder->add_flag("--dry-run", w.run.dry_run, "all checks, no effect");
  holder->add_flag("--yes", w.run.yes, "where your signature is needed too: sign without asking");
  holder->add_flag("--no-wait", w.run.no_wait, "do not wait for the end");
}

int Hold(Session& session, const Words& w) {
  std::vector<std::string> scopes;
  if (!w.service.empty()) scopes.push_back("service:" + w.service);
  if (!w.policy.empty()) scopes.push_back("policy:" + w.policy);
  if (!w.scope_host.empty()) scopes.push_back("host:" + w.scope_host);
  if (w.every) scopes.push_back("all");
  if (scopes.size() > 1)
    return session.Fail(absl::InvalidArgumentError("a hold has one of --service, --policy, --host, --all"));
  const auto length = Duration(w.length);
  if (!length.ok()) return session.Fail(length.status());
  v1::HoldRequest request;
  request.set_scope(scopes.empty() ? "all" : scopes.front());
  request.set_for_us(*length);
  request.set_why(w.why);
  return session.Do("SetHold", request);
}

void AddHold(Verbs& verbs, Words& w) {
  CLI::App* hold = verbs.Add("hold", "let automation stand still", [&w](Session& s) { return Hold(s, w); });
  hold->add_option("--service", w.service, "only of this service");
  hold->add_option("--policy", w.policy, "only this policy");
  hold->add_option("--host", w.scope_host, "only on this host");
  hold->add_flag("--all", w.every, "all of it (also when nothing is named)");
  hold->add_option("--for", w.length, "2h, 30m, …; until it is ended when not given");
  hold->add_option("--why", w.why, "for the record; needed");
  verbs.Add(*hold, "list", "what is held", [](Session& s) {
    v1::GetRequest request;
    request.set_kind("holds");
    return s.Show("Get", request, [&s](const Json& document, const ViewOptions& options) {
      if (document.value("items", Json::array()).empty()) s.Say("nothing is held");
      return ListView("holds", document, options);
    });
  });
  verbs
      .Add(*hold, "end", "go on",
           [&w](Session& s) {
             v1::EndHold request;
             request.set_id(w.id);
             return s.Do("EndHold", request);
           })
      ->add_option("ID", w.id, "as `quell hold list` shows it")
      ->required();
}

int StartChange(Session& session, const Words& w) {
  const auto length = Duration(w.length);
  if (!length.ok()) return session.Fail(length.status());
  v1::ChangeRequest request;
  request.set_summary(w.title);
  request.set_service(w.service);
  request.set_for_us(*length);
  return session.Do("StartChange", request);
}

void AddChange(CLI::App& app, Verbs& verbs, Words& w) {
  CLI::App* change = app.add_subcommand("change", "deployments")->require_subcommand(1);
  CLI::App* start =
      verbs.Add(*change, "start", "a deployment begins: no automation for its service until it is finished",
                [&w](Session& s) { return StartChange(s, w); });
  start->add_option("TITLE", w.title, "what is being changed: a version, a ticket")->required();
  start->add_option("--service", w.service, "the service, or the app")->required();
  start->add_option("--for", w.length, "until then at most: 15m when not given, 4h at most");
  CLI::App* finish = verbs.Add(*change, "finish", "it is over", [&w](Session& s) {
    v1::ChangeFinish request;
    request.set_change(w.id);
    request.set_service(w.service);
    request.set_failed(w.failed);
    return s.Do("FinishChange", request);
  });
  finish->add_option("ID", w.id, "CH-12; the only one under way when not given");
  finish->add_option("--service", w.service, "the newest under way for this service");
  finish->add_flag("--failed", w.failed, "it did not go well");
}

int ActOnAgent(Session& session, const std::string& method, const Words& w) {
  v1::AgentAct request;
  request.set_host(w.host);
  request.set_why(w.why);
  return session.Do(method, request);
}

void AddTokens(CLI::App& agent, Verbs& verbs, Words& w, std::ostream& out) {
  CLI::App* token = verbs.Add(agent, "token", "let one host enrol",
                              [&w, &out](Session& s) { return MakeToken(s, w.token, out); });
  token->add_option("--host", w.token.host, "the name that the host gets");
  token->add_option("--label", w.token.labels, "key=value, as often as needed")->allow_extra_args(false);
  token->add_option("--for", w.token.good_for, "how long it is good: 1h unless said, 24h at most");
  token->add_flag("--replace", w.token.replace, "a host of that name that has an agent is replaced");
  token->add_option("--out", w.token.out, "the file to make (0600), or - for standard output");
  verbs
      .Add(*token, "revoke", "a token that was not used is worth nothing any more",
           [&w](Session& s) {
             v1::TokenRevoke request;
             request.set_token(w.id);
             return s.Do("RevokeToken", request);
           })
      ->add_option("ID", w.id, "as `quell get tokens` shows it")
      ->required();
}

void AddAgents(CLI::App& app, Verbs& verbs, Words& w, std::ostream& out) {
  CLI::App* agent = app.add_subcommand("agent", "which hosts belong to the fleet")->require_subcommand(1);
  AddTokens(*agent, verbs, w, out);
  verbs
      .Add(*agent, "list", "the hosts, how they came and until when they are certified",
           [&w](Session& s) {
             v1::GetRequest request;
             request.set_kind("hosts");
             request.set_limit(1000);
             request.set_all(w.all);
             return s.Show("Get", request, [](const Json& document, const ViewOptions& options) {
               return ListView("agents", document, options);
             });
           })
      ->add_flag("-a,--all", w.all, "those that were deleted, too");
  for (const bool revoke : {true, false}) {
    CLI::App* out_of_fleet = verbs.Add(
        *agent, revoke ? "revoke" : "delete",
        revoke ? "a host may not speak any more, from now on"
               : "and it is listed no more; its name may be given anew, its id never",
        [&w, revoke](Session& s) { return ActOnAgent(s, revoke ? "RevokeAgent" : "DeleteAgent", w); });
    out_of_fleet->add_option("HOST", w.host, "its name, or its id")->required();
    out_of_fleet->add_option("--why", w.why, "for the record; needed");
  }
  CLI::App* label = verbs.Add(*agent, "label", "of a host that enrolled", [&w](Session& s) {
    const auto request = LabelChanges(w.host, w.labels);
    if (!request.ok()) return s.Fail(request.status());
    return s.Do("LabelAgent", *request);
  });
  label->add_option("HOST", w.host, "its name, or its id")->required();
  label->add_option("LABELS", w.labels, "role=web sets a label, site- takes one away")->required();
}

void AddResponders(CLI::App& app, Verbs& verbs, Words& w) {
  CLI::App* responder =
      app.add_subcommand("responder", "people, and what each may do")->require_subcommand(1);
  verbs
      .Add(*responder, "list", "the people and their roles",
           [&w](Session& s) {
             v1::GetRequest request;
             request.set_kind("responders");
             request.set_limit(1000);
             request.set_all(w.all);
             return s.Show("Get", request, [&s](const Json& document, const ViewOptions& options) {
               if (document.value("items", Json::array()).empty()) s.Say("nobody has a role yet");
               return ListView("responders", document, options);
             });
           })
      ->add_flag("-a,--all", w.all, "those that were revoked, too");
  CLI::App* role = verbs.Add(*responder, "role", "what somebody may do, from now on", [&w](Session& s) {
    v1::ResponderRole request;
    request.set_name(w.name);
    request.set_role(w.role);
    return s.Do("SetResponder", request);
  });
  role->add_option("NAME", w.name, "as their certificate has it")->required();
  role->add_option("ROLE", w.role, "viewer, responder, approver or admin")
      ->required()
      ->check(CLI::IsMember({"viewer", "responder", "approver", "admin"}));
  CLI::App* revoke =
      verbs.Add(*responder, "revoke", "somebody may do nothing any more, from now on", [&w](Session& s) {
        v1::PersonRevoke request;
        request.set_name(w.name);
        request.set_why(w.why);
        return s.Do("RevokeResponder", request);
      });
  revoke->add_option("NAME", w.name, "who")->required();
  revoke->add_option("--why", w.why, "for the record; needed");
}

void AddLogin(Verbs& verbs, Words& w) {
  CLI::App* login = verbs.Add("login", "a key of your own, and the certificate that was made for it",
                              [&w](Session& s) { return Login(s, w.login); });
  login->add_option("--csr-out", w.login.request, "make a key here, and this request for a certificate");
  login->add_option("--name", w.login.name, "who you are, for whoever reads the request");
  login->add_option("--certificate", w.login.certificate, "what `quell-controller responder issue` wrote");
  login->add_option("--address", w.login.address, "where the controller listens for people: HOST:7403");
  login->add_option("--pin", w.login.pin, "the installation's trust root, as you were told it");
}

void AddAdministration(CLI::App& app, Verbs& verbs, Words& w, std::ostream& out, std::ostream& err) {
  AddLogin(verbs, w);
  AddResponders(app, verbs, w);
  AddAgents(app, verbs, w, out);
  CLI::App* rules = app.add_subcommand("rules", "rule files")->require_subcommand(1);
  verbs
      .Add(*rules, "check", "do these files load?",
           [&w, &out, &err](Session&) { return CheckRules(w.files, out, err); })
      ->add_option("FILE", w.files, "rule files")
      ->required();
  CLI::App* audit = app.add_subcommand("audit", "the log")->require_subcommand(1);
  verbs.Add(*audit, "verify", "does the whole log hold?", AuditVerify);
  CLI::App* notify = app.add_subcommand("notify", "notices")->require_subcommand(1);
  verbs
      .Add(*notify, "test", "send a test notice",
           [&w](Session& s) {
             v1::NotifyTest request;
             request.set_receiver(w.receiver);
             return s.Do("TestNotice", request);
           })
      ->add_option("RECEIVER", w.receiver, "one of `quell get receivers`; all when not given");
  verbs
      .Add("completion", "what a shell needs to complete quell's words: quell completion bash",
           [&w, &out, &app](Session& s) {
             const auto script = text::Completion(app, w.name);
             if (!script) return s.Fail(absl::InvalidArgumentError("bash and zsh are known"));
             out << *script;
             return static_cast<int>(kDone);
           })
      ->add_option("SHELL", w.name, "bash or zsh")
      ->required();
  verbs.Add("doctor", "what stands in quell's way, and the line that mends each: exit 1", RunDoctor);
  verbs.Add("version", "of this program and of the controller", Version);
}

}  // namespace

int RunProgram(const std::vector<std::string>& args, const Surroundings& around, std::ostream& out,
               std::ostream& err) {
  Words words;
  Verb chosen;
  CLI::App app("quell: what is wrong with the fleet, and what was done about it", "quell");
  app.require_subcommand(1);
  Verbs verbs(app, words, chosen);
  verbs.AddCommon(app);
  AddReading(verbs, words);
  AddIncidentWork(verbs, words);
  AddRun(verbs, words);
  AddHold(verbs, words);
  AddChange(app, verbs, words);
  AddAdministration(app, verbs, words, out, err);
  if (const auto text = text::PackagingText(app, {1, QUELL_VERSION, kManual}, args)) {
    out << *text;
    return kDone;
  }
  try {
    std::vector<std::string> reversed(args.rbegin(), args.rend());  // as CLI11 takes them
    app.parse(reversed);
  } catch (const CLI::ParseError& error) {
    std::ostringstream help, complaint;
    const int code = app.exit(error, help, complaint);
    out << help.str();
    err << text::Terminal(complaint.str(), true);
    return code == 0 ? kDone : kUsage;
  }
  Session session(words.common, around, out, err);
  return chosen ? chosen(session) : kUsage;
}

}  // namespace quell::cli
