package console

// field is a field of a form, with what is wrong with it.
type field struct {
	Name     string
	Key      string // its id, where several have the name; "": the name
	Label    string
	Type     string // of an input, "select" or "textarea"
	Complete string // what a browser that keeps passwords should put there
	Mode     string // which keyboard a telephone should show
	Value    string // what was typed; never a password
	Options  []option
	Rows     int    // of a textarea
	Min      string // what may be typed at the least
	Hint     string
	Example  string // what it looks like, where there is no room for a hint
	Error    string // ""; nothing is wrong
	Blamed   string // id of what says what is wrong with it, where that is not beside it; "": nothing does
	Required bool   // nothing can be sent without it
	Optional bool   // the reader is told that it can be left out
	Focus    bool   // where the reader should begin to type
	Class    string
}

// option is what can be selected.
type option struct{ Name, Value string }

// ID returns what the field is known by within its page.
func (f field) ID() string {
	if f.Key != "" {
		return f.Key
	}
	return f.Name
}

// Described returns the ids of what describes the field, for those who cannot see that it stands beside it.
func (f field) Described() string {
	id := f.ID()
	switch {
	case f.Blamed != "":
		return f.Blamed
	case f.Error != "" && f.Hint != "":
		return id + "-error " + id + "-hint"
	case f.Error != "":
		return id + "-error"
	case f.Hint != "":
		return id + "-hint"
	default:
		return ""
	}
}

// confirmPage asks whether something is meant.
type confirmPage struct {
	Question string
	Problem  string   // what is wrong with no field; "": nothing
	Says     []string // what there is to know before
	Action   string   // where the answer is sent
	Hidden   map[string]string
	Fields   []field
	Button   string
	Danger   bool   // it cannot be undone
	Back     string // where somebody goes who did not mean it
	Once     string // see once
}
