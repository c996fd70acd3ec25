// What a notice says, as plain strings: encoders belong to the receivers. Pure.
#pragma once
#include <string>

#include "controller/engine/state.h"

namespace quell::notify {

struct Text {
  std::string subject;
  std::string text;
};

// `transition` as in Notice. A security incident's text names its number alone.
Text Render(const engine::State& state, const v1::Incident& incident, const std::string& transition);
Text RenderTest(const engine::State& state, const std::string& receiver, const std::string& who);

}  // namespace quell::notify
