// Make a form's fields from a scope's schema, and read their values: an empty field is left out.

import { h } from "./dom.js"
import { text } from "./words.js"

const HINTS = { "integer": "a whole number", "number": "a number", "date-time": "like 2026-11-22T06:30:00Z", "list": "one a line, or with commas" }

// Gives {node, value(): value or undefined, wrong(message)}; `value` throws an Error that says what does not fit.
export function input(field) {
  const id = `scope-${field.name}`
  const hint = [field.about, HINTS[field.kind], bounds(field), fallback(field)].filter(Boolean).join(" · ")
  const control = made(field, id, { id, name: field.name, "aria-describedby": `${id}-hint ${id}-wrong`, "aria-required": String(field.required) })
  const said = h("p", { id: `${id}-wrong`, class: "fault" })
  return {
    name: field.name,
    secret: field.kind === "secret",
    node: h("div", { class: "field" }, h("label", { for: id }, field.name, field.required && " (required)"), control,
      h("p", { id: `${id}-hint`, class: "hint" }, hint), said),
    value: () => read(field, field.kind === "boolean" && control.type === "checkbox" ? String(control.checked) : control.value),
    wrong(message) {
      said.textContent = message
      control.setAttribute("aria-invalid", String(Boolean(message)))
      if (message) control.focus()
    },
  }
}

function made(field, id, attributes) {
  if (field.kind === "boolean" && !field.nullable && !field.required) return h("input", { ...attributes, type: "checkbox", checked: field.fallback === true })
  if (field.kind === "boolean") return select(attributes, [["", "–"], ["true", "yes"], ["false", "no"]])
  if (field.kind === "choice") return select(attributes, [["", "–"], ...field.choices.map((each) => [text(each), text(each)])])
  if (field.kind === "list") return h("textarea", { ...attributes, rows: "2", spellcheck: "false" })
  const type = { secret: "password", date: "date" }[field.kind] || "text"
  const mode = { integer: field.minimum >= 0 ? "numeric" : null, number: "decimal" }[field.kind]
  return h("input", { ...attributes, type, inputmode: mode, autocomplete: field.kind === "secret" ? "new-password" : "off", spellcheck: "false" })
}

const select = (attributes, options) => h("select", attributes, options.map(([value, label]) => h("option", { value }, label)))

function bounds({ minimum, maximum }) {
  if (minimum !== undefined && maximum !== undefined) return `${minimum} to ${maximum}`
  return minimum !== undefined ? `at least ${minimum}` : maximum !== undefined ? `at most ${maximum}` : ""
}

function fallback({ kind, fallback: value, required }) {
  const none = value === undefined || value === null || value === "" || (Array.isArray(value) && !value.length)
  return required || kind === "secret" || kind === "boolean" ? "" : none ? "empty: all" : `empty: ${text(value)}`
}

function read(field, typed) {
  const given = field.kind === "secret" || field.kind === "text" ? typed : typed.trim()
  if (given === "") {
    if (field.required) throw new Error("it is required")
    return undefined
  }
  if (field.kind === "list") return given.split(/[\n,]/).map((each) => each.trim()).filter(Boolean).map((each) => one(field.of || { kind: "text" }, each))
  return one(field, given)
}

function one(field, given) {
  if (field.kind === "integer") return integer(given)
  if (field.kind === "number") return number(given)
  if (field.kind === "boolean") return given === "true"
  return field.kind === "choice" ? chosen(field, given) : given
}

function chosen(field, given) {
  const found = field.choices.find((each) => text(each) === given)
  if (found === undefined) throw new Error(`${given} is none of ${field.choices.map(text).join(", ")}`)
  return found
}

function integer(given) {
  if (!/^[+-]?\d+$/.test(given)) throw new Error(`${given} is not a whole number`)
  const value = Number(given)
  return Number.isSafeInteger(value) ? value : BigInt(given)
}

function number(given) {
  const value = Number(given)
  if (!Number.isFinite(value)) throw new Error(`${given} is not a number`)
  return value
}
