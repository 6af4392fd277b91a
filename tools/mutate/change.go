package main

import (
	"fmt"
	"go/ast"
	"go/token"
	"strings"
)

// finder finds the changes in one file.
type finder struct {
	file   *token.File
	path   string
	source []byte
	swaps  map[string]string // constants that take each other's place
	seen   map[string]bool   // what the changes make of the file: two ways to the same one count once
	found  []*mutant
}

// comparisons and arithmetic have what takes an operator's place.
var (
	comparisons = map[token.Token][]string{
		token.LSS: {"<=", ">="}, token.LEQ: {"<", ">"}, token.GTR: {">=", "<="}, token.GEQ: {">", "<"},
		token.EQL: {"!="}, token.NEQ: {"=="}, token.LAND: {"||"}, token.LOR: {"&&"},
	}
	arithmetic = map[token.Token]string{
		token.ADD: "-", token.SUB: "+", token.MUL: "+", token.QUO: "*",
		token.AND: "|", token.OR: "&", token.SHL: ">>", token.SHR: "<<",
	}
	assignments = map[token.Token]string{
		token.ADD_ASSIGN: "-=", token.SUB_ASSIGN: "+=", token.INC: "--", token.DEC: "++",
	}
)

func (f *finder) offset(p token.Pos) int { return f.file.Offset(p) }

func (f *finder) text(n ast.Node) string {
	return string(f.source[f.offset(n.Pos()):f.offset(n.End())])
}

// altered returns the source of n with a part of it replaced.
func (f *finder) altered(n ast.Node, from, to token.Pos, text string) string {
	return string(f.source[f.offset(n.Pos()):f.offset(from)]) + text + string(f.source[f.offset(to):f.offset(n.End())])
}

// add adds the change of the source between two positions. around is what the choice surrounds.
func (f *finder) add(from, to token.Pos, text string, around ast.Node, before, behind string) {
	m := &mutant{path: f.path, from: f.offset(from), to: f.offset(to), text: text, source: f.source}
	m.choice = choice{f.offset(around.Pos()), f.offset(around.End()), before, behind}
	pos := f.file.Position(from)
	m.line, m.column = pos.Line, pos.Column
	if after := string(m.changed()); !f.seen[after] {
		f.seen[after] = true
		f.found = append(f.found, m)
	}
}

// condition replaces a part of an expression whose value is a bool.
func (f *finder) condition(cond ast.Expr, from, to token.Pos, text string) {
	f.add(from, to, text, cond, "(mutated(\x00) && ("+f.altered(cond, from, to, text)+") || !mutated(\x00) && (", "))")
}

// value replaces a part of another expression. Both values are computed: none may panic.
func (f *finder) value(expr ast.Expr, from, to token.Pos, text string) {
	f.add(from, to, text, expr, "either(\x00, ", ", "+f.altered(expr, from, to, text)+")")
}

// leaveOut leaves a statement out.
func (f *finder) leaveOut(s ast.Stmt) {
	f.add(s.Pos(), s.End(), "", s, "if !mutated(\x00) { ", " }")
}

// instead has another statement in the place of s.
func (f *finder) instead(s ast.Stmt, from, to token.Pos, text string) {
	f.add(from, to, text, s, "if mutated(\x00) { "+f.altered(s, from, to, text)+" } else { ", " }")
}

// function finds the changes in a function. Those in a function literal know its results.
func (f *finder) function(typ *ast.FuncType, body *ast.BlockStmt) {
	var visit func(n ast.Node) bool
	visit = func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncLit:
			f.function(n.Type, n.Body)
			return false
		case *ast.GenDecl:
			return n.Tok != token.CONST
		case *ast.ReturnStmt:
			f.results(typ, n)
		case *ast.BlockStmt:
			f.statements(n.List)
		case *ast.CaseClause:
			f.statements(n.Body)
		case *ast.CommClause:
			f.statements(n.Body)
		case *ast.IfStmt:
			f.negate(n.Cond)
		case *ast.ForStmt:
			if n.Cond != nil {
				f.negate(n.Cond)
			}
		case *ast.SwitchStmt:
			f.cases(n)
		case *ast.BinaryExpr:
			f.binary(n)
		case *ast.UnaryExpr:
			if n.Op == token.NOT {
				f.condition(n, n.Pos(), n.X.Pos(), "")
			}
		case *ast.BasicLit:
			f.number(n, n)
		case *ast.SelectorExpr:
			ast.Inspect(n.X, visit)
			return false
		case *ast.Ident:
			f.name(n)
		}
		return true
	}
	ast.Inspect(body, visit)
}

func (f *finder) binary(n *ast.BinaryExpr) {
	end := n.OpPos + token.Pos(len(n.Op.String()))
	for _, other := range comparisons[n.Op] {
		f.condition(n, n.OpPos, end, other)
	}
	if other := arithmetic[n.Op]; other != "" {
		f.value(n, n.OpPos, end, other)
	}
	if comparisons[n.Op] != nil || arithmetic[n.Op] != "" {
		for _, side := range []ast.Expr{n.X, n.Y} {
			if lit, ok := side.(*ast.BasicLit); ok {
				f.number(lit, n)
			}
		}
	}
}

// negate turns a condition round. What has an operator of its own for that is turned round by it.
func (f *finder) negate(cond ast.Expr) {
	if b, ok := cond.(*ast.BinaryExpr); ok && b.Op != token.LAND && b.Op != token.LOR {
		return
	}
	if u, ok := cond.(*ast.UnaryExpr); ok && u.Op == token.NOT {
		return
	}
	f.condition(cond, cond.Pos(), cond.End(), "!("+f.text(cond)+")")
}

// cases turns the cases of a switch without a tag round.
func (f *finder) cases(s *ast.SwitchStmt) {
	if s.Tag != nil {
		return
	}
	for _, clause := range s.Body.List {
		for _, cond := range clause.(*ast.CaseClause).List {
			f.negate(cond)
		}
	}
}

// results has nil returned in an error's place, and the opposite of a bool.
func (f *finder) results(typ *ast.FuncType, ret *ast.ReturnStmt) {
	if typ.Results == nil {
		return
	}
	var types []string
	for _, field := range typ.Results.List {
		for range max(1, len(field.Names)) {
			types = append(types, f.text(field.Type))
		}
	}
	if len(types) != len(ret.Results) { // a call has them all
		return
	}
	for i, value := range ret.Results {
		switch text := f.text(value); {
		case types[i] == "error" && text != "nil":
			f.add(value.Pos(), value.End(), "nil", ret, "if mutated(\x00) { "+f.altered(ret, value.Pos(), value.End(), "nil")+" }; ", "")
		case types[i] == "bool" && text != "true" && text != "false":
			f.negate(value)
		}
	}
}

// statements leaves statements out, or turns them round.
func (f *finder) statements(list []ast.Stmt) {
	for _, s := range list {
		switch s := s.(type) {
		case *ast.ExprStmt, *ast.DeferStmt:
			if !f.stays(s) {
				f.leaveOut(s)
			}
		case *ast.AssignStmt:
			if s.Tok != token.DEFINE {
				f.leaveOut(s)
			}
			if other := assignments[s.Tok]; other != "" {
				f.instead(s, s.TokPos, s.TokPos+2, other)
			}
		case *ast.IncDecStmt:
			f.leaveOut(s)
			f.instead(s, s.TokPos, s.TokPos+2, assignments[s.Tok])
		case *ast.GoStmt, *ast.SendStmt:
			f.leaveOut(s)
		}
	}
}

// stays says whether a statement is one that isn't left out: what locks are good for, the race detector says, and what
// panics ends a function.
func (f *finder) stays(s ast.Stmt) bool {
	text := strings.TrimPrefix(f.text(s), "defer ")
	if strings.HasPrefix(text, "panic(") {
		return true
	}
	for _, name := range []string{".Lock()", ".Unlock()", ".RLock()", ".RUnlock()"} {
		if strings.HasSuffix(text, name) && !strings.Contains(text, "\n") {
			return true
		}
	}
	return false
}

// number changes small numbers: large ones are sizes and times that were chosen more or less freely. whole is the literal, or an
// operation that it stands in.
func (f *finder) number(lit *ast.BasicLit, whole ast.Expr) {
	if lit.Kind != token.INT {
		return
	}
	const large = 16
	var n int
	if _, err := fmt.Sscan(lit.Value, &n); err != nil || n > large {
		return
	}
	change := f.value
	if b, ok := whole.(*ast.BinaryExpr); ok && comparisons[b.Op] != nil {
		change = f.condition
	}
	change(whole, lit.Pos(), lit.End(), fmt.Sprint(n+1))
	if n == 1 {
		change(whole, lit.Pos(), lit.End(), "0")
	}
}

// name swaps true and false, and the constants of an enumeration.
func (f *finder) name(id *ast.Ident) {
	switch other := f.swaps[id.Name]; {
	case id.Name == "true":
		f.condition(id, id.Pos(), id.End(), "false")
	case id.Name == "false":
		f.condition(id, id.Pos(), id.End(), "true")
	case other != "":
		f.value(id, id.Pos(), id.End(), other)
	}
}
