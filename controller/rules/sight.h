// Sight: whether silence is news. That a series is not there says that a thing is gone only while the
// collector that told of it still looks; otherwise nothing is known, and what fired does not clear. Made for
// one evaluation at one time; pure, the thread that evaluates.
//
//   metrics  of each   its collector looks when, for 15 s on end
//   pm2_*    user      pm2_up is 1, or pm2_daemon_stopped_by_hand is (its apps went with it)
//   pg_*     server    pg_up is 1 and pg_exporter_last_scrape_error is 0
// and for the others, and where none of that is told:
//   probe_*  probe     quell_collector_up{collector} is 1 for a minute; or others' is told for a minute and
//   node_*             this one's is not: then nobody is asked to look any more, and what it told of is over
//
// Of any other metric an end is an end. One that a rule recorded is what it was recorded from.
#pragma once
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>

#include "common/model/labels.h"
#include "controller/promql/evaluate.h"
#include "controller/rules/rule_set.h"

namespace quell::rules {

// The labels of an alert that the series it came of may have too: without those that its rule adds, and
// without `job`, which differs between the series of one thing.
Labels ScopeOf(const Rule& rule, Labels labels);

class Sight {
 public:
  static constexpr Micros kSettled = 15 * kSecond;      // after which a word counts
  static constexpr Micros kCollectorSettled = kMinute;  // likewise, of the collectors themselves

  Sight(const promql::SeriesSource& source, const RuleSet& rules, Micros at,
        const promql::EvalOptions& options)
      : source_(source), rules_(rules), at_(at), options_(options) {}

  // `expr` gives nothing about `scope`: whether that may be for want of what is not seen now.
  bool Unseen(const promql::Expr& expr, const Labels& scope) { return Unseen(expr, scope, 0, 0); }

 private:
  struct Witness;
  struct Word;
  struct Words;
  static const Witness* WitnessOf(std::string_view metric);
  bool Unseen(const promql::Expr& e, const Labels& scope, Micros range, int depth);
  bool UnseenSelector(const promql::Expr& e, const Labels& scope, Micros range, int depth);
  bool Gives(const promql::Expr& e, const Labels& scope);
  bool Live(const promql::Expr& selector, const Labels& scope, Micros range);
  bool Looks(const Witness& witness, const std::string& of, const std::string& instance);
  const Words& WordsOf(std::string_view metric, std::string_view label, const std::string& instance);
  bool CollectorLooks(const Witness& witness, const std::string& of, const std::string& instance);

  const promql::SeriesSource& source_;
  const RuleSet& rules_;
  const Micros at_;
  const promql::EvalOptions& options_;
  // Read once, whatever many alerts ask: by metric and instance ("" for all).
  std::map<std::pair<std::string, std::string>, std::shared_ptr<Words>> words_;
  std::map<std::tuple<std::string, std::string, std::string>, bool>
      looks_;  // by witness, whom about, instance
  // Selections that may still be made among all of a metric's series; without them the collector's word is
  // all.
  int closer_ = 64;
};

}  // namespace quell::rules
