// The list of runs, newest first: of all jobs or one, of any end or one, page by page.

import { get, may, readsAll } from "./api.js"
import { h, redraw, table } from "./dom.js"
import { poll } from "./poll.js"
import { problem } from "./problem.js"
import { counts, duration, kind, mark, scope, short, time } from "./words.js"

const STATUSES = ["running", "succeeded", "completed with failures", "aborted", "crashed", "interrupted", "lost its lease"]
const HEADS = [["Run", "id"], ["Status"], ["Started"], ["Took", "right"], ["Records"], ["Scope", "wide"]]

export function runsPage(main, { query }, signal) {
  const asked = { job: query.get("job") || "", status: query.get("status") || "" }
  if (!asked.job && !readsAll()) return firstJob(main, signal)
  const list = h("div", {}, h("p", { class: "hint" }, "Loading…"))
  const older = h("p", { class: "row" })
  const head = h("div", { class: "row spread" }, h("h1", {}, asked.job ? `Runs of ${asked.job}` : "Runs"))
  if (asked.job && may("start", asked.job)) head.append(h("a", { class: "button", href: `#/start/${encodeURIComponent(asked.job)}` }, "Start …"))
  const filters = h("form", { class: "row filters", onsubmit: (event) => event.preventDefault() })
  main.replaceChildren(head, filters, list, older)
  choices(filters, asked, signal)
  let pages = []

  const first = (signal) => get("runs", { ...asked, limit: 50 }, signal)
  const failed = (error) => list.replaceChildren(problem(error))

  function show(page) {
    if (pages.length > 1) return false // who reads older pages is not moved about
    pages = [page]
    draw()
  }

  function draw() {
    const runs = pages.flatMap((page) => page.runs)
    redraw(list, runs, () => (runs.length ? table("Runs", HEADS, runs.map(cells)) : h("p", { class: "hint" }, asked.job || asked.status ? "No runs like that yet." : "No runs yet: schedules start them, and so does Start … beside a job.")))
    const next = pages.at(-1).next
    redraw(older, next, () => (next ? h("button", { type: "button", onclick: () => more(next), "data-focus": "older" }, "Older runs") : null))
  }

  async function more(before) {
    try {
      pages.push(await get("runs", { ...asked, limit: 50, before }, signal))
      draw()
    } catch (error) {
      if (!signal.aborted) older.replaceChildren(problem(error))
    }
  }

  poll(first, show, failed, signal)
}

// A token that shows single jobs is shown the runs of one of them.
async function firstJob(main, signal) {
  try {
    const { jobs } = await get("jobs", {}, signal)
    location.replace(`#/runs?job=${encodeURIComponent(jobs[0].name)}`)
  } catch (error) {
    if (!signal.aborted) main.replaceChildren(problem(error))
  }
}

async function choices(form, asked, signal) {
  const names = await get("jobs", {}, signal).then(({ jobs }) => jobs.map((job) => job.name), () => [asked.job].filter(Boolean))
  const change = () => {
    const query = new URLSearchParams([...new FormData(form)].filter(([, value]) => value))
    location.hash = `#/runs${query.size ? `?${query}` : ""}`
  }
  const choice = (name, label, values, all = true) => h("label", {}, `${label} `, h("select", { name, onchange: change },
    all && h("option", { value: "" }, "all"), values.map((value) => h("option", { value, selected: value === asked[name] }, value))))
  form.replaceChildren(choice("job", "Job", names, readsAll()), choice("status", "Status", STATUSES))
}

function cells(run) {
  return [
    h("a", { href: `#/runs/${encodeURIComponent(run.run_id)}`, "data-focus": run.run_id }, run.run_id),
    h("span", { class: `status ${kind(run.status)}` }, `${mark(run.status)} ${run.status}${run.dry_run ? " (dry run)" : ""}`),
    time(run.created_at), duration(run.duration_s), counts(run.tally), h("code", {}, short(scope(run.scope), 200)),
  ]
}
