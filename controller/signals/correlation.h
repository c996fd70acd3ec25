// What a signal is about: its service, its severity, and the group that joins signals into one incident.
// Pure.
#pragma once
#include <string>
#include <string_view>

#include "quell/v1/state.pb.h"

namespace quell::signals {

std::string_view LabelOf(const v1::Signal& signal, std::string_view name);       // "" when absent
std::string_view AnnotationOf(const v1::Signal& signal, std::string_view name);  // "" when absent
// The label `service`; without a catalogue an app and a database are each a service of their own. "" else.
std::string ServiceOf(const v1::Signal& signal);
// "service:S", else "app:USER/APP" over all hosts, else "host:NAME", else "alert:NAME". Security signals have
// a group of their own each and are never joined.
std::string GroupOf(const v1::Signal& signal);
bool IsSecurity(const v1::Signal& signal);
// The rule's, at most P2 without a service; P3 when the rule says nothing.
v1::Severity SeverityOf(const v1::Signal& signal);
// "USER/APP" when the labels name an app, else "".
std::string AppOf(const v1::Signal& signal);
std::string_view NameOf(v1::Severity severity);  // "P0" … "P3"
// One line for people: the annotation `summary`, else alert and what it is about.
std::string TitleOf(const v1::Signal& signal);

}  // namespace quell::signals
