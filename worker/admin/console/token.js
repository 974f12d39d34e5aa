// Ask for the token, and try it.

import { allow, get, remember } from "./api.js"
import { h } from "./dom.js"
import { notice } from "./say.js"

// A 503 comes from behind the gate: the token was let in.
const WHY = {
  401: (message) => `Not let in: ${message}.`,
  503: (message) => `The token is good, but ${message}. Try again in a moment.`,
}

export function tokenPage(main, why, done) {
  const input = h("input", { id: "token", type: "password", autocomplete: "off", required: true, spellcheck: "false",
    "aria-describedby": "token-why token-how" })
  const said = h("p", { id: "token-why", role: "alert", class: "fault" }, why)
  const button = h("button", { type: "submit" }, "Open")

  async function tried(event) {
    event.preventDefault()
    button.disabled = true
    said.textContent = ""
    remember(input.value.trim())
    try {
      const { token } = await get("jobs")
      allow(token.rights)
      notice("")
      done(token.name)
    } catch (error) {
      if (error.status === 403) return done("") // what it may not see is said there
      remember("")
      said.textContent = WHY[error.status]?.(error.message) ?? `Not now: ${error.message}.`
      button.disabled = false
      input.select()
    }
  }

  main.replaceChildren(h("form", { class: "token", onsubmit: tried },
    h("h1", {}, "Open with a token"),
    h("label", { for: "token" }, "Token"),
    h("div", { class: "row" }, input, button),
    said,
    h("p", { id: "token-how", class: "hint" }, "It is kept in this page's memory alone: a reload asks again. ",
      h("code", {}, "python -m worker token new"), " makes one.")))
  input.focus()
}
