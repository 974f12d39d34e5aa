// Start a scoped run: its form, a dry run first, then the real one, confirmed.

import { get, post, run as runPath } from "./api.js"
import { confirm } from "./confirm.js"
import { facts, h, redraw } from "./dom.js"
import { input } from "./fields.js"
import { poll } from "./poll.js"
import { problem } from "./problem.js"
import { progress } from "./progress.js"
import { sample } from "./samples.js"
import { announce } from "./say.js"
import { fields } from "./schema.js"
import { slack } from "./slack.js"
import { count, counts, kind, live, mark, plural, rate, scope } from "./words.js"

const OPTIONS = [
  { name: "max_records", kind: "integer", minimum: 1, about: "end after that many records" },
  { name: "run_key", kind: "text", about: "names the run: the same key is the same run; made up where it is empty" },
]

export async function startPage(main, { name }, signal) {
  main.replaceChildren(h("h1", {}, `Start ${name}`), h("p", { class: "hint" }, "Loading…"))
  try {
    const { jobs } = await get("jobs", {}, signal)
    const job = jobs.find((each) => each.name === name)
    if (!job) return main.replaceChildren(h("h1", {}, `Start ${name}`), problem(new Error(`there is no job ${name}`)))
    page(main, job, signal)
  } catch (error) {
    if (!signal.aborted) main.replaceChildren(h("h1", {}, `Start ${name}`), problem(error))
  }
}

function page(main, job, signal) {
  const narrowing = fields(job.scope).map(input)
  const options = OPTIONS.map(input)
  const all = [...narrowing, ...options]
  const [said, outcome] = [h("div"), h("section", { class: "outcome", "aria-live": "polite" })]
  const [dry, real] = [h("button", { type: "submit", class: "strong" }, "Dry run"), h("button", { type: "button", disabled: true, onclick: start }, "Start for real …")]
  const form = h("form", { class: "start", onsubmit: tried, oninput: changed, novalidate: true },
    h("fieldset", {}, h("legend", {}, "Scope"), narrowing.length ? narrowing.map((each) => each.node) : h("p", { class: "hint" }, "This job has nothing to narrow: it runs over all.")),
    h("details", {}, h("summary", {}, "Options"), options.map((each) => each.node)),
    said, h("p", { class: "row" }, dry, real), h("p", { class: "hint" }, "The dry run reads and asks, and writes nothing. What it says opens the real start."))
  main.replaceChildren(h("h1", {}, `Start ${job.name}`), h("p", { class: "purpose" }, job.purpose), limitsOf(job), form, outcome)
  let asked = null // the values of the last dry run, while they are still those of the form
  let found = null // that dry run, once it has succeeded
  let watching = new AbortController()
  signal.addEventListener("abort", () => watching.abort())

  function changed() {
    asked = found = null
    real.disabled = true
  }

  // Gives the values, or undefined where one does not fit, which is said beside it.
  function values() {
    const given = {}
    for (const each of all) {
      each.wrong("")
      try {
        given[each.name] = each.value()
      } catch (error) {
        if (options.includes(each)) form.querySelector("details").open = true
        each.wrong(error.message)
        return undefined
      }
    }
    return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined))
  }

  async function tried(event) {
    event.preventDefault()
    const given = values()
    if (!given) return
    changed()
    asked = given
    dry.disabled = true
    said.replaceChildren()
    try {
      // It writes nothing: it may count beyond max_affected, so that the person is asked about the true number.
      const bound = job.max_affected == null ? {} : { max_affected: Number.MAX_SAFE_INTEGER }
      watch(await post(encodeURIComponent(job.name), { ...given, ...bound, dry_run: true }), given)
    } catch (error) {
      refused(error)
    } finally {
      dry.disabled = false
    }
  }

  function refused(error) {
    said.replaceChildren(problem(error))
    for (const each of all) {
      const fault = error.errors?.find((text) => text.startsWith(`scope ${each.name}:`) || text.startsWith(`${each.name}=`))
      if (fault) each.wrong(fault)
    }
  }

  function watch(run, given) {
    watching.abort()
    watching = new AbortController()
    const shown = (now) => {
      if (live(now)) sample(now)
      redraw(outcome, [now, live(now) && Date.now()], () => told(now))
      announce(`The dry run is ${now.status}`)
      if (live(now)) return true
      if (asked === given && (now.status === "succeeded" || now.status === "completed with failures")) {
        found = { given, would: now.tally?.done || 0 }
        real.disabled = false
      }
      return false
    }
    if (shown(run) !== false) poll((signal) => get(runPath(run.run_id), {}, signal), shown, refused, watching.signal, 8)
  }

  async function start() {
    const { given, would } = found
    const many = job.max_affected != null && would > job.max_affected
    const { max_records, run_key, ...narrowed } = given
    const shown = Object.fromEntries(Object.entries(narrowed).map(([name, value]) => [name, secret(name) ? "***" : value]))
    const told = [h("span", {}, "Scope ", h("code", {}, scope(shown))), `The dry run would have changed ${plural(would, "record")}.`]
    if (many) told.push(h("strong", {}, `The job's max_affected is ${count(job.max_affected)}: this is more.`))
    const body = many ? { ...given, max_affected: would } : given
    const run = await confirm({ title: `Start ${job.name} for real?`, told, verb: "Start", word: many && job.name, act: () => post(encodeURIComponent(job.name), body) })
    if (run) location.hash = `#/runs/${encodeURIComponent(run.run_id)}`
  }

  const secret = (name) => narrowing.find((each) => each.name === name)?.secret
}

function limitsOf(job) {
  const per = job.limits?.rate
  return facts([["Rate", per && (per.per === 1 ? rate(per.count) : `${count(per.count)} in ${per.per} s`)], ["Concurrency", count(job.limits?.concurrency)], ["May change at most", job.max_affected == null ? "" : count(job.max_affected)]])
}

function told(run) {
  const words = h("span", { class: `status ${kind(run.status)}` }, `${mark(run.status)} ${run.status}`)
  if (live(run)) return [h("h2", {}, "Dry run"), words, progress(run)]
  const would = h("p", { class: "would" }, `It would have changed ${plural(run.tally?.done || 0, "record")}.`)
  return [h("h2", {}, "Dry run"), h("p", {}, words, ` ${counts(run.tally)} · `, h("a", { href: `#/runs/${encodeURIComponent(run.run_id)}` }, "its run")), would,
    run.detail && h("p", {}, run.detail), run.slack?.length && slack(run.slack)]
}
