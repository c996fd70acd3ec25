// Folding the records gives the live state again, whatever came in; snapshots lose nothing; restarts repeat
// nothing.
#include <gmock/gmock.h>
#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <gtest/gtest.h>

#include "common/base/ids.h"
#include "tests/controller/engine/scenario.h"

namespace quell::engine {
namespace {

class Dice {
 public:
  explicit Dice(uint64_t seed) : state_(seed * 2654435761u + 12345) {}
  uint64_t operator()(uint64_t n) {
    state_ = state_ * 6364136223846793005ULL + 1442695040888963407ULL;
    return (state_ >> 33) % n;
  }

 private:
  uint64_t state_;
};

v1::Config Mixed(Dice& dice) {
  v1::Config config = Scenario::DefaultConfig();
  config.mutable_policies(0)->set_mode(dice(3) == 0 ? v1::ASK : v1::AUTOMATIC);
  config.mutable_policies(0)->set_page(static_cast<v1::PageMode>(dice(4)));
  config.mutable_policies(0)->set_page_unless_verified_us(kMinute);
  return config;
}

void Step(Scenario& s, Dice& dice) {
  static const char* const kAlerts[] = {"AppHung", "AppDown", "DiskFull"};
  const int host = 1 + static_cast<int>(dice(4));
  const std::string alert = kAlerts[dice(3)];
  switch (dice(16)) {
    case 0:
    case 1:
    case 2:
    case 3:
      return s.Fire(host, alert, static_cast<v1::Severity>(1 + dice(4)));
    case 4:
    case 5:
      return s.Clear(host, alert);
    case 6:
      return s.Host(host, v1::HostEdge::HOST_LOST);
    case 7:
    case 8:
      return s.ConnectHost(host);
    case 9:
      s.Person("alice", [&](v1::PersonAct& act) {
        act.mutable_hold()->set_scope(dice(2) == 0 ? "all" : "host:web-1");
        act.mutable_hold()->set_until_us(s.now() + kMinute);
      });
      return;
    case 10:
      s.Person("bob", [&](v1::PersonAct& act) {
        act.mutable_acknowledge()->set_incident(dice(2) == 0 ? "last" : "#1");
      });
      return;
    case 11:
      for (const auto& command : s.Commands()) {
        if (command.state() != v1::AWAITING_APPROVAL) continue;
        s.Person("bob", [&](v1::PersonAct& act) {
          (dice(3) != 0 ? act.mutable_approve() : act.mutable_deny())->set_command(command.id());
          if (!act.has_approve() || dice(2) == 0) return;
          act.mutable_approve()->mutable_approval()->set_person("bob");
          act.mutable_approve()->mutable_approval()->set_intent_sha256(Sha256(command.intent()));
        });
        return;
      }
      return;
    case 12:
      if (dice(4) == 0) s.Restart(dice(2) == 0);
      return;
    case 13:
      s.remedy_helps = dice(2) == 0;
      s.remedy_succeeds = dice(5) != 0;
      s.deliver = dice(6) != 0;
      s.notices_arrive = dice(6) != 0;
      return;
    case 14:
      if (dice(4) == 0)
        s.Person("bob", [&](v1::PersonAct& act) {
          act.mutable_resolve()->set_incident("last");
          act.mutable_resolve()->set_cause("unknown");
        });
      return;
    default:
      if (!s.Commands().empty()) {
        const auto commands = s.Commands();
        s.Report(commands[dice(commands.size())], static_cast<v1::Outcome>(1 + dice(7)),
                 static_cast<v1::RefusalKind>(1 + dice(9)), "by chance");
      }
  }
}

class AnyInputs : public testing::TestWithParam<int> {};

// The scenario's end compares the folded state with the live one.
TEST_P(AnyInputs, TheFoldEqualsTheLiveState) {
  for (int seed = GetParam() * 25; seed < GetParam() * 25 + 25; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Dice dice(static_cast<uint64_t>(seed));
    Scenario s(4, Mixed(dice));
    for (int i = 0; i < 80; ++i) {
      Step(s, dice);
      s.Pass(static_cast<Micros>(dice(40)) * kSecond);
    }
    for (const auto& [id, incident] : s.state().incidents) {
      ASSERT_TRUE(incident.status() >= v1::INVESTIGATING && incident.status() <= v1::RESOLVED) << id;
    }
    for (const v1::CommandEntry& command : s.Commands()) {
      ASSERT_LE(s.starts[command.id()], 3 + 2) << "handed over again and again";
    }
  }
}
INSTANTIATE_TEST_SUITE_P(Seeds, AnyInputs, testing::Range(0, 8));

std::string Bytes(const v1::Payload& payload) {  // maps in order
  std::string bytes;
  google::protobuf::io::StringOutputStream stream(&bytes);
  google::protobuf::io::CodedOutputStream coded(&stream);
  coded.SetSerializationDeterministic(true);
  payload.SerializeToCodedStream(&coded);
  coded.Trim();
  return bytes;
}

bool IsReadAgain(const google::protobuf::MessageLite& message) {
  const std::unique_ptr<google::protobuf::MessageLite> again(message.New());
  return again->ParseFromString(message.SerializeAsString());
}

TEST(Records, AreReadAgainWhateverBytesCameIn) {
  Scenario s;
  v1::Signal signal = s.SignalOf(1, "AppHung", v1::P1);
  signal.mutable_labels(0)->set_value("\xff\xc3");
  v1::Label* annotation = signal.add_annotations();
  annotation->set_name("summary");
  annotation->set_value(std::string(299, 'x') + "\xc3\xa4 and more");
  s.Edge(signal, v1::FIRING);
  s.Person("a\xff",
           [](v1::PersonAct& act) { act.mutable_note()->set_text(std::string(3999, 'x') + "\xc3\xa4"); });
  ASSERT_FALSE(s.log().empty());
  for (const Record& record : s.log()) {
    EXPECT_TRUE(IsReadAgain(record.header)) << record.header.DebugString();
    EXPECT_TRUE(IsReadAgain(record.payload)) << record.payload.DebugString();
  }
  EXPECT_EQ(s.incident().title(), std::string(299, 'x'));
}

TEST(Replay, TheSameInputsGiveTheSameRecords) {
  auto run = [] {
    Dice dice(7);
    Scenario s(4, Mixed(dice));
    std::string all;
    for (int i = 0; i < 200; ++i) {
      Step(s, dice);
      s.Pass(static_cast<Micros>(dice(40)) * kSecond);
    }
    for (const Record& record : s.log()) all += record.header.SerializeAsString() + Bytes(record.payload);
    return HexEncode(Sha256(all));
  };
  EXPECT_EQ(run(), run());
}

TEST(Replay, ASnapshotComesBackWithItsDigest) {
  Scenario s(2);
  s.Fire(1);
  s.Fire(2, "AppDown", v1::P2);
  s.Pass(20 * kSecond);
  const State back = FromSnapshot(ToSnapshot(s.state()));
  EXPECT_EQ(Digest(back), Digest(s.state()));
  s.Restart(true);
}

TEST(Replay, ACommandOnItsWayIsHandedOverAgainUnderItsOwnId) {
  Scenario s;
  s.deliver = false;
  s.Fire(1);
  const std::string id = s.Command().id();
  s.Restart();
  EXPECT_EQ(s.starts[id], 2);
  s.ConnectHost(1);
  s.deliver = true;
  s.Pass(kMinute);
  EXPECT_EQ(s.Commands().size(), 1u);
}

TEST(Replay, ARestartInTheMiddleOfAVerificationStartsItsTimeAnew) {
  Scenario s;
  s.Fire(1);
  s.Pass(10 * kSecond);
  ASSERT_EQ(s.Command().verification(), v1::HOLDING);
  s.Pass(10 * kSecond);
  s.Restart();
  EXPECT_EQ(s.Command().verification(), v1::VERIFYING) << "nothing is known after a start";
  s.ConnectHost(1);
  s.Watch("verify/" + s.Command().id(), v1::WatchEdge::TRUE);
  s.Pass(31 * kSecond);
  EXPECT_EQ(s.Command().verification(), v1::VERIFIED);
}

TEST(Replay, HeadersNameTheInputThatLedToARecord) {
  Scenario s;
  s.Fire(1);
  uint64_t input = 0;
  for (const Record& record : s.log()) {
    if (record.header.cause() == 0) input = record.header.seq();
    if (record.header.cause() != 0) {
      EXPECT_EQ(record.header.cause(), input);
      EXPECT_EQ(record.header.source(), "engine");
    }
    EXPECT_EQ(record.header.kind(), static_cast<uint32_t>(record.payload.kind_case()));
  }
  EXPECT_NE(input, 0u);
}

TEST(Replay, TimePassedWithNothingDueLeavesNoRecord) {
  Scenario s;
  const size_t records = s.log().size();
  v1::Payload payload;
  payload.mutable_time_passed();
  s.Input(payload);
  EXPECT_EQ(s.log().size(), records);
}

TEST(Rows, EveryEntityThatWasTouchedHasItsRow) {
  Scenario s;
  s.Fire(1);
  s.Pass(kHour);
  std::map<std::string, ProjectionRow> rows;
  for (const ProjectionRow& row : RowsFor(s.log(), s.state())) rows[row.kind + " " + row.id] = row;
  for (const ProjectionRow& row : AllRows(s.state())) {
    auto it = rows.find(row.kind + " " + row.id);
    ASSERT_NE(it, rows.end()) << row.kind << " " << row.id;
    EXPECT_EQ(it->second.message, row.message);
    EXPECT_EQ(it->second.open, row.open);
  }
}

}  // namespace
}  // namespace quell::engine
