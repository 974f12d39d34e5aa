// Show what the API refused, and what to do about it.

import { h } from "./dom.js"

const ADVICE = {
  403: "Ask who made it for one that may, or leave and use another.",
  404: "It may have been pruned, or the address is wrong.",
  409: "",
  429: "Wait a moment, then try again.",
}

export function problem(error) {
  const advice = ADVICE[error.status] ?? ""
  return h("div", { class: "problem", role: "alert" },
    h("p", {}, h("strong", {}, sentence(error.message)), advice && ` ${advice}`),
    error.errors?.length ? h("ul", {}, error.errors.map((each) => h("li", {}, each))) : null,
    error.run ? h("p", {}, "See ", h("a", { href: `#/runs/${encodeURIComponent(error.run.run_id)}` }, error.run.run_id), ".") : null)
}

const sentence = (text) => `${text.charAt(0).toUpperCase()}${text.slice(1)}${/[.!?]$/.test(text) ? "" : "."}`
