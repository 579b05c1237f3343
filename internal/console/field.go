package console

// field is a field of a form, with what is wrong with it.
type field struct {
	Name     string // also its id
	Label    string
	Type     string // "text", "password"
	Complete string // what a browser that keeps passwords should put there
	Value    string // what was typed; never a password
	Hint     string
	Error    string // ""; nothing is wrong
	Optional bool
	Focus    bool // where the reader should begin to type
}

// Described returns the ids of what describes the field, for those who cannot see that it stands beside it.
func (f field) Described() string {
	switch {
	case f.Error != "" && f.Hint != "":
		return f.Name + "-error " + f.Name + "-hint"
	case f.Error != "":
		return f.Name + "-error"
	case f.Hint != "":
		return f.Name + "-hint"
	default:
		return ""
	}
}

// Fields are those of the form to sign in with.
func (p signInPage) Fields() []field {
	return []field{
		// No type of its own: browsers change what is typed into one for e-mail addresses.
		{Name: "email", Label: "E-mail address", Type: "text", Complete: "username", Value: p.Email, Error: p.EmailError,
			Focus: p.EmailError != "" || p.PasswordError == ""},
		{Name: "password", Label: "Password", Type: "password", Complete: "current-password", Error: p.PasswordError,
			Focus: p.EmailError == "" && p.PasswordError != ""},
	}
}

// Fields are those of the form.
func (f passwordForm) Fields() []field {
	var all []field
	if f.AsksCurrent {
		all = append(all, field{Name: "current_password", Label: "Current password", Type: "password", Complete: "current-password",
			Error: f.CurrentError, Focus: f.CurrentError != ""})
	}
	return append(all,
		field{Name: "new_password", Label: "New password", Type: "password", Complete: "new-password", Error: f.NewError,
			Hint: passwordHint, Focus: f.NewError != "" || f.First && f.AgainError == ""},
		field{Name: "again", Label: "The same again", Type: "password", Complete: "new-password", Error: f.AgainError,
			Focus: f.AgainError != ""})
}
