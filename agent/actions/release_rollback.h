// release.rollback: lets a deployment's `current` lead to a release that ran on this host before, and starts
// its app anew from there. Only a release whose path and tree hash the host itself recorded is gone to. Runs
// as the deployment's owner.
//
// Order of the effect, so that a failure leaves the old release running or brings it back: everything is
// looked at once more (hash included), the link is renamed, the app is started from the explicit path, one
// process after the other, and looked at. What fails on the way is put back: the link first, then those
// processes that were touched. Ten seconds (or half of the time, if that is less) are kept for that.
//
// Bounds: a release of at most 200,000 entries and 4 GiB, 40 directories deep (release_tree.h); a check reads
// for as long as its deadline lets it.
#pragma once
#include <memory>

#include "agent/actions/action.h"

namespace quell::agent {

std::unique_ptr<Action> MakeReleaseRollback();

// WORKER_TASK_RECORD: which release `current` leads to; when the request asks for that one by name (`to`),
// also its tree's hash.
v1::WorkerResult RecordRelease(const v1::WorkerRequest& request, Clock& clock);

}  // namespace quell::agent
