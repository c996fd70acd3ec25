// Which component something that was seen belongs to. Pure.
#pragma once
#include <map>
#include <string>

#include "controller/catalogue/catalogue.h"

namespace quell::catalogue {

// `labels` holds all that the selector asks for.
bool Selects(const Selector& selector, const std::map<std::string, std::string>& labels);

// The service that an alert is about: the first in the file that has its app (labels user and app), else its
// database (datname), else its probe, on a host with these labels. Of an alert that names no host (`labels`
// nullptr): the one service that could be meant. nullptr: none.
const Service* ServiceOf(const Catalogue& catalogue, const v1::Signal& signal,
                         const std::map<std::string, std::string>* labels);

// Gives a signal without a label `service` the one of its service, and holds its severity to that service's
// max_severity; a service that the rule named itself caps it likewise.
void Name(const Catalogue& catalogue, const std::map<std::string, std::string>* labels, v1::Signal& signal);

}  // namespace quell::catalogue
