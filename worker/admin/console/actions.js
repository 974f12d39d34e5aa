// What can be done to a run: stop it, go on with it, start it again.

import { may, post, run as runPath } from "./api.js"
import { confirm } from "./confirm.js"
import { h } from "./dom.js"
import { input } from "./fields.js"
import { live } from "./words.js"

const GOES_ON = ["interrupted", "aborted", "crashed", "lost its lease"]

const STOP = {
  verb: "Stop the run", path: "stop",
  told: "It takes no new records, commits what is finished, and ends as interrupted. Started again, it goes on from there.",
}
const RESUME = { verb: "Go on", path: "resume", told: "It goes on after its last commit, with the same key and the same scope." }

export function actions(run, job, ask) {
  const button = (what, style) => h("button", { type: "button", class: style, "data-focus": what.path, onclick: () => act(run, job, what, ask) }, `${what.verb} …`)
  return h("p", { class: "row" },
    live(run) && may("stop", run.job) && button(STOP, "strong"),
    !run.dry_run && may("start", run.job) && GOES_ON.includes(run.status) && button(RESUME),
    may("start", run.job) && h("a", { class: "button", href: `#/start/${encodeURIComponent(run.job)}`, "data-focus": "another" }, "Start another …"))
}

export async function act(run, job, { verb, path, told }, ask) {
  const bounded = path !== "stop" && job?.max_affected != null
  const fields = path === "stop" ? [] : [...hidden(run).map(secret), ...(bounded ? [most(job)] : [])]
  await confirm({ title: `${verb}: ${run.run_id}?`, told, verb, fields, word: bounded && run.job,
    act: (values) => post(`${runPath(run.run_id)}/${path}`, values) })
  ask()
}

const secret = (name) => input({ name, kind: "secret", required: true, about: "not kept with the run" })
const most = (job) => input({ name: "max_affected", kind: "integer", minimum: 1, about: "may have changed so many records, over all attempts",
  fallback: job.max_affected })
const hidden = (run) => Object.keys(run.scope || {}).filter((name) => run.scope[name] === "***")
