// Read a scope's JSON schema (msgspec's): which fields there are, of which kind.

export function fields(schema) {
  const root = resolved(schema, schema)
  return Object.entries(root.properties || {}).map(([name, property]) => ({
    name, required: (root.required || []).includes(name), ...field(property, schema),
  }))
}

function resolved(part, schema) {
  if (!part.$ref) return part
  const { $ref, ...rest } = part
  return { ...schema.$defs[$ref.split("/").at(-1)], ...rest }
}

function field(property, schema) {
  const whole = resolved(property, schema)
  const members = (whole.anyOf || [whole]).map((member) => resolved(member, schema))
  const one = members.find((member) => member.type !== "null") || {}
  const secret = [whole, one].some((each) => each.format === "password" || each.writeOnly)
  return {
    kind: secret ? "secret" : kindOf(one), nullable: members.some((member) => member.type === "null"),
    choices: one.enum ?? (one.const === undefined ? undefined : [one.const]), of: one.items && field(one.items, schema),
    fallback: whole.default, about: whole.description || one.description || "", minimum: one.minimum, maximum: one.maximum, pattern: one.pattern,
  }
}

function kindOf({ type, format, enum: choices, const: only }) {
  if (choices || only !== undefined) return "choice"
  if (type === "integer" || type === "number" || type === "boolean") return type
  if (type === "array") return "list"
  return format === "date" || format === "date-time" ? format : "text"
}
