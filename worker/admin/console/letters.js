// A run's dead letters: the records that failed, a page at a time, and their replay.

import { act } from "./actions.js"
import { get, may, run as runPath } from "./api.js"
import { h, redraw, table } from "./dom.js"
import { problem } from "./problem.js"
import { count, live, plural, text, time } from "./words.js"

const HEADS = [["Key", "key"], ["Type"], ["Message"], ["Tries", "right"], ["Last"]]
const PAGE = 50

// Asked for when the count of failed records changes, not with each poll.
export function letters(node, signal) {
  let known = null
  return {
    async show(run, job, ask) {
      const failed = run.tally?.failed || 0
      if (known === `${failed} ${run.status}`) return
      known = `${failed} ${run.status}`
      if (!failed) return redraw(node, 0, () => null)
      try {
        const page = await get(`${runPath(run.run_id)}/dead-letters`, { limit: PAGE }, signal)
        draw(node, { run, job, ask, signal }, page)
      } catch (error) {
        known = null
        if (!signal.aborted) node.replaceChildren(problem(error))
      }
    },
  }
}

function draw(node, told, page) {
  const { run } = told
  redraw(node, [page, run.status], () => [
    h("div", { class: "row spread" }, h("h2", {}, "Dead letters"), !live(run) && !run.dry_run && may("replay", run.job) && page.letters.length ? replay(told) : null),
    page.letters.length ? table("Dead letters", HEADS, page.letters.map(cells)) : h("p", { class: "hint" }, "None are kept: a dry run keeps none."),
    page.next ? h("button", { type: "button", "data-focus": "letters", onclick: () => more(node, told, page) }, "More of them") : null,
  ])
}

async function more(node, told, page) {
  try {
    const next = await get(`${runPath(told.run.run_id)}/dead-letters`, { limit: PAGE, after: page.next }, told.signal)
    draw(node, told, { letters: [...page.letters, ...next.letters], next: next.next })
  } catch (error) {
    if (!told.signal.aborted) node.append(problem(error))
  }
}

function replay({ run, job, ask }) {
  const what = {
    verb: "Replay", path: "replay",
    told: `${plural(run.tally.failed, "failed record")} will be worked on again, and nothing else.`,
  }
  return h("button", { type: "button", "data-focus": "replay", onclick: () => act(run, job(), what, ask) }, "Replay …")
}

const cells = (each) => [h("code", {}, each.key.map(text).join(", ")), each.type, h("span", { class: "message" }, each.message.split("\n")[0]), count(each.tries), time(each.last_at)]
