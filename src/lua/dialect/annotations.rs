//! Where a script has annotations: the tree of the parser, walked once.

use full_moon::ast::luau::{
    ConstAssignment, ConstFunction, ExportedTypeDeclaration, ExportedTypeFunction, GenericDeclaration,
    IfConditionBinding, LuauAttribute, TypeAssertion, TypeDeclaration, TypeFunction, TypeInstantiation, TypeSpecifier,
};
use full_moon::ast::{CompoundAssignment, LastStmt};
use full_moon::node::Node;
use full_moon::tokenizer::{Token, TokenKind, TokenReference};
use full_moon::visitors::Visitor;
use full_moon::{LuaVersion, parse_fallible};

use super::SyntaxError;
use super::place::{self, Annotation, Prepared, Sort};

/// Lua 5.4 and Luau at once: the first has what runs, the second the annotations.
pub(super) fn version() -> LuaVersion {
    LuaVersion::lua54().with_luau()
}

/// The annotations of a script in the order of their places. What stands in another one is part of it.
pub(super) fn find(source: &str, prepared: &Prepared) -> Result<Vec<Annotation>, Box<SyntaxError>> {
    let parsed = parse_fallible(&prepared.text, version());
    // The first is the cause, what follows may be its consequence.
    if let Some(error) = parsed.errors().first() {
        let (start, end) = error.range();
        let range = prepared.original(start.bytes())..prepared.original(end.bytes());
        return Err(place::error(source, range, error.error_message().into_owned()));
    }
    let mut finder = Finder { source, prepared, open: None, found: Vec::new(), refused: None };
    finder.visit_ast(parsed.ast());
    match finder.refused {
        Some((_, error)) => Err(error),
        None => {
            finder.found.sort_unstable_by_key(|annotation| annotation.start);
            Ok(finder.found)
        }
    }
}

struct Finder<'a> {
    source: &'a str,
    prepared: &'a Prepared,
    open: Option<Open>,
    found: Vec<Annotation>,
    /// The first thing in the text that is not of the dialect, and its offset.
    refused: Option<(usize, Box<SyntaxError>)>,
}

/// The annotation that is being walked. Its place is that of its words: the ranges that the parser's nodes tell leave out
/// their last bracket.
struct Open {
    sort: Sort,
    /// How many annotations have begun in it and not ended, itself among them.
    depth: usize,
    start: usize,
    end: usize,
}

impl Finder<'_> {
    fn begin(&mut self, sort: Sort) {
        match &mut self.open {
            Some(open) => open.depth += 1,
            None => self.open = Some(Open { sort, depth: 1, start: usize::MAX, end: 0 }),
        }
    }

    fn end(&mut self) {
        let Some(mut open) = self.open.take() else { return };
        open.depth -= 1;
        if open.depth > 0 {
            self.open = Some(open);
        } else if open.start < open.end {
            let (start, end) = (self.prepared.original(open.start), self.prepared.original(open.end));
            self.found.push(Annotation { start, end, sort: open.sort });
        }
    }

    fn refuse(&mut self, token: &TokenReference, what: &str, help: &str) {
        let start = self.prepared.original(token.token().start_position().bytes());
        if self.refused.as_ref().is_some_and(|(first, _)| *first <= start) {
            return;
        }
        let end = self.prepared.original(token.token().end_position().bytes());
        let mut error = place::error(self.source, start..end, format!("{what} is Luau and not of this dialect"));
        error.help = Some(help.to_owned());
        self.refused = Some((start, error));
    }
}

impl Visitor for Finder<'_> {
    fn visit_token(&mut self, token: &Token) {
        let is_word = !matches!(
            token.token_kind(),
            TokenKind::Eof
                | TokenKind::Shebang
                | TokenKind::Whitespace
                | TokenKind::SingleLineComment
                | TokenKind::MultiLineComment
        );
        if let (true, Some(open)) = (is_word, &mut self.open) {
            open.start = open.start.min(token.start_position().bytes());
            open.end = open.end.max(token.end_position().bytes());
        }
    }

    fn visit_type_specifier(&mut self, _: &TypeSpecifier) {
        self.begin(Sort::Type);
    }

    fn visit_type_specifier_end(&mut self, _: &TypeSpecifier) {
        self.end();
    }

    fn visit_generic_declaration(&mut self, _: &GenericDeclaration) {
        self.begin(Sort::Type);
    }

    fn visit_generic_declaration_end(&mut self, _: &GenericDeclaration) {
        self.end();
    }

    fn visit_type_instantiation(&mut self, _: &TypeInstantiation) {
        self.begin(Sort::Type);
    }

    fn visit_type_instantiation_end(&mut self, _: &TypeInstantiation) {
        self.end();
    }

    fn visit_type_assertion(&mut self, _: &TypeAssertion) {
        self.begin(Sort::Cast);
    }

    fn visit_type_assertion_end(&mut self, _: &TypeAssertion) {
        self.end();
    }

    fn visit_type_declaration(&mut self, _: &TypeDeclaration) {
        self.begin(Sort::Declaration);
    }

    fn visit_type_declaration_end(&mut self, _: &TypeDeclaration) {
        self.end();
    }

    fn visit_exported_type_declaration(&mut self, _: &ExportedTypeDeclaration) {
        self.begin(Sort::Declaration);
    }

    fn visit_exported_type_declaration_end(&mut self, _: &ExportedTypeDeclaration) {
        self.end();
    }

    fn visit_compound_assignment(&mut self, node: &CompoundAssignment) {
        let operator = node.compound_operator().token();
        let sign = operator.token().to_string();
        let plain = sign.trim_end_matches('=').to_owned();
        self.refuse(operator, &format!("`{sign}`"), &format!("write `x = x {plain} …`"));
    }

    fn visit_last_stmt(&mut self, node: &LastStmt) {
        if let LastStmt::Continue(token) = node {
            self.refuse(
                token,
                "`continue`",
                "write `goto continue`, with the label `::continue::` at the end of the loop",
            );
        }
    }

    fn visit_const_assignment(&mut self, node: &ConstAssignment) {
        self.refuse(node.const_token(), "`const`", "write `local name <const> = …`");
    }

    fn visit_const_function(&mut self, node: &ConstFunction) {
        self.refuse(node.const_token(), "`const`", "write `local function`");
    }

    fn visit_if_condition_binding(&mut self, node: &IfConditionBinding) {
        self.refuse(node.local_token(), "`local` in a condition", "declare it before the `if`");
    }

    fn visit_luau_attribute(&mut self, node: &LuauAttribute) {
        if let Some(token) = node.tokens().next() {
            self.refuse(token, "an attribute with `@`", "leave it out");
        }
    }

    fn visit_type_function(&mut self, node: &TypeFunction) {
        self.refuse(node.type_token(), "a function over types", "write the type itself");
    }

    fn visit_exported_type_function(&mut self, node: &ExportedTypeFunction) {
        self.refuse(node.export_token(), "a function over types", "write the type itself");
    }
}
