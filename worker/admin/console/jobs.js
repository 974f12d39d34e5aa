// The first page: every job with its last runs, what comes next, and what goes on now.

import { get, may, run as runPath } from "./api.js"
import { facts, h, redraw } from "./dom.js"
import { problem } from "./problem.js"
import { poll } from "./poll.js"
import { milestone, progress } from "./progress.js"
import { sample } from "./samples.js"
import { announce } from "./say.js"
import { strip } from "./strip.js"
import { ago, counts, duration, live, mark, kind, time } from "./words.js"

export function jobsPage(main, _, signal) {
  const list = h("div", { class: "jobs" }, h("p", { class: "hint" }, "Loading…"))
  const below = h("div")
  main.replaceChildren(h("h1", {}, "Jobs"), list, below)
  const rows = new Map()

  async function ask() {
    const { jobs } = await get("jobs", {}, signal)
    const going = jobs.flatMap((job) => job.runs.filter(live).slice(0, 1))
    const found = await Promise.all(going.map((run) => get(runPath(run.run_id), {}, signal)))
    return { jobs, going: new Map(found.map((run) => [run.job, run])) }
  }

  function show({ jobs, going }) {
    if (!jobs.length) return list.replaceChildren(h("p", { class: "hint" }, "There are no jobs: python -m worker new writes one."))
    if ([...rows.keys()].join() !== jobs.map((job) => job.name).join()) {
      rows.clear()
      jobs.forEach((job) => rows.set(job.name, row()))
      list.replaceChildren(...[...rows.values()].map((each) => each.node))
    }
    for (const job of jobs) rows.get(job.name).show(job, going.get(job.name))
    for (const run of going.values()) sample(run)
    redraw(below, jobs.some((job) => job.runs.length), (any) => (any ? legend() : null))
    announce([...going.values()].map(milestone).join(", "))
  }

  poll(ask, show, (error) => {
    list.replaceChildren(problem(error))
    below.replaceChildren()
  }, signal)
}

function row() {
  const [head, bars, now] = [h("div", { class: "head" }), h("div", { class: "bars" }), h("div", { class: "now" })]
  return {
    node: h("section", { class: "job" }, head, bars, now),
    show(job, run) {
      redraw(head, [job.name, job.purpose, job.schedule, job.missing, minute(job.next)], () => about(job))
      redraw(bars, job.runs, () => strip(job.name, job.runs))
      redraw(now, [run ?? job.runs[0], run ? 0 : minute(Date.now())], () => (run ? going(run) : last(job.runs[0])))
    },
  }
}

const minute = (at) => Math.floor(new Date(at) / 60000)

function about(job) {
  const name = encodeURIComponent(job.name)
  return [
    h("h2", {}, h("a", { href: `#/runs?job=${name}`, "data-focus": `${job.name} runs` }, job.name)),
    may("start", job.name) && h("a", { class: "button", href: `#/start/${name}`, "data-focus": `${job.name} start`, "aria-label": `Start ${job.name} …` }, "Start …"),
    h("p", { class: "purpose" }, job.purpose),
    facts([["Schedule", said(job.schedule)], ["Next", job.schedule && next(job.next)]]),
    job.missing?.length ? h("p", { class: "fault" }, `This server lacks ${job.missing.join(", ")}: it cannot be started here.`) : null,
  ]
}

function said(schedule) {
  if (!schedule) return "by events or by hand"
  const words = schedule.text.replace(/^rate\((?:1 )?(.*)\)$/, "every $1")
  return schedule.zone && schedule.zone !== "UTC" ? `${words}, ${schedule.zone}` : words
}

// An interval is counted from the last scheduled run: one that should have come and did not shows here first.
function next(at) {
  if (!at) return h("span", { class: "hint" }, "no scheduled run seen yet")
  const late = (Date.now() - new Date(at)) / 1000
  return late < 60 ? `${late > 0 ? "now" : ago(at)}, ${time(at)}` : h("span", { class: "status paused" }, `was due ${ago(at)}, ${time(at)}`)
}

function going(run) {
  return [h("a", { class: "status live", href: `#/runs/${encodeURIComponent(run.run_id)}`, "data-focus": "now" },
    `${mark(run.status)} ${run.status}${run.dry_run ? " (dry run)" : ""}`), progress(run)]
}

function last(run) {
  if (!run) return null
  const took = run.duration_s == null ? "" : `, took ${duration(run.duration_s)}`
  return h("p", {}, h("span", { class: `status ${kind(run.status)}` }, `${mark(run.status)} ${run.status}`),
    h("span", { class: "number" }, ` ${ago(run.created_at)}${took} · ${counts(run.tally)}`))
}

function legend() {
  const marks = [["succeeded", "succeeded"], ["aborted", "failed"], ["interrupted", "interrupted, goes on when started again"], ["running", "goes on"], ["overlapped", "did nothing"]]
  return h("p", { class: "legend hint" }, "Bars: taller = longer, narrow = dry run. ",
    marks.map(([status, words]) => h("span", {}, h("span", { class: `status ${kind(status)}` }, mark(status)), ` ${words}  `)))
}
