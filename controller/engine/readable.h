// What is written must be read again: a protobuf string field that is not UTF-8 is serialised without
// complaint and refused by every later parse, so by the next start. Pure; any thread.
#pragma once
#include <google/protobuf/message.h>

namespace quell::engine {

// Puts U+FFFD in the place of each byte of a string field, at any depth, that is not UTF-8. Bytes fields
// stay.
void MakeReadable(google::protobuf::Message& message);

}  // namespace quell::engine
